#!/usr/bin/env bash
# setup.sh DIR: Apache Kafka's broker into DIR/libs and its command-line tools into DIR/libs-tools, by Maven.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
place=$(cd "$1" && pwd)
goal=org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies
for pair in pom.xml:libs pom-tools.xml:libs-tools; do
  "${MAVEN:-mvn}" -q -B -f "$here/${pair%%:*}" "$goal" -DincludeScope=runtime -DoutputDirectory="$place/${pair##*:}"
done
