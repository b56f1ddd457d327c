//! Against RE2/J's own answers (`test/golden/patterns.tsv`, made by `test/golden/java/KafkaPatterns.java`), and the bounds.

use super::{MAX_PATTERN_BYTES, TopicPattern};

const GOLDEN: &str = include_str!("../../../../test/golden/patterns.tsv");

#[test]
fn answers_as_re2j_does() {
    let mut lines = GOLDEN.lines();
    let names: Vec<&str> = lines.next().expect("names").split(' ').collect();
    let mut count = 0;
    let mut differences = Vec::new();
    for line in lines {
        let (pattern, expected) = line.rsplit_once('\t').expect("two columns");
        let ours = match TopicPattern::compile(pattern) {
            Ok(compiled) => {
                let matched: Vec<&str> =
                    names.iter().copied().filter(|name| compiled.matches(name)).collect();
                format!("matches {}", matched.join(" ")).trim_end().to_owned()
            }
            Err(error) => format!("refused {error}"),
        };
        if ours != expected {
            differences.push(format!("{pattern}: {ours}, not {expected}"));
        }
        count += 1;
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(count > 100, "only {count} patterns");
}

#[test]
fn patterns_that_explode_elsewhere_take_no_time() {
    let name = format!("{}b", "a".repeat(249));
    for source in ["(a+)+", "(a|aa)*", "(a*)*c", "(.*)*(.*)*(.*)*c", "(x+x+)+y"] {
        let pattern = TopicPattern::compile(source).expect("it is valid");
        assert!(!pattern.matches(&name), "{source}");
    }
}

#[test]
fn what_would_be_huge_is_refused() {
    let refusal = |source: &str| TopicPattern::compile(source).err().map(|error| error.to_string());
    assert_eq!(refusal("(a{1000}){1000}").as_deref(), Some("too large when compiled"));
    assert_eq!(
        refusal(&"((a{100}){100}){100}".repeat(10)).as_deref(),
        Some("too large when compiled")
    );
    assert_eq!(refusal(&"(".repeat(30_000)).as_deref(), Some("missing closing )"));
    let deep = format!("{}{}", "(".repeat(10_000), ")".repeat(10_000));
    assert_eq!(refusal(&deep).as_deref(), Some("nested too deeply"));
    assert_eq!(refusal(&"a".repeat(MAX_PATTERN_BYTES)), None);
    assert!(refusal(&"a".repeat(MAX_PATTERN_BYTES + 1)).is_some());
}
