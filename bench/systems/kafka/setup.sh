#!/usr/bin/env bash
# setup.sh DIR [VERSION]: puts the jars of an Apache Kafka broker into DIR/libs (Maven and a JDK must be present).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
directory=${1:?give a directory}
version=${2:-4.4.0}
command -v mvn > /dev/null || { echo "Maven is needed to fetch Kafka's jars; or set KAFKA_DIR to a directory with libs/" >&2; exit 1; }
mkdir -p "$directory/libs"
mvn -q -B -f "$here/pom.xml" -Dkafka.version="$version" -DincludeScope=runtime \
  -DoutputDirectory="$directory/libs" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies
