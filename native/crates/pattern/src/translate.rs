//! From RE2's syntax to that of the `regex` crate.
//!
//! The two are close relatives, and the danger is where both accept a pattern and mean different things: `[a&&b]`, `[a[b]]`, `\<`, `a**`,
//! `(?x)`, `a{,3}`. So every construct is read by RE2's rules and written in a form that can mean only one thing: literals that are not
//! letters or digits as `\x{…}`, classes item by item, `\d`, `\s` and `\w` as the ASCII sets they are in RE2, groups without their names.

use std::collections::HashSet;
use std::fmt::Write;

use crate::PatternError;

pub(crate) const BAD_RANGE: &str = "invalid character class range";
const BAD_ESCAPE: &str = "invalid escape sequence";
const BAD_FLAGS: &str = "invalid or unsupported Perl syntax";
const BAD_NAME: &str = "invalid named capture";
const BAD_REPEAT: &str = "invalid repeat count";
const NESTED_REPEAT: &str = "invalid nested repetition operator";
const NO_ARGUMENT: &str = "missing argument to repetition operator";
const NO_BRACKET: &str = "missing closing ]";
const NO_PARENTHESIS: &str = "missing closing )";

/// Most repetitions of one operator.
const MAX_REPEAT: u32 = 1000;

const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// What a repetition operator would find before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing: the beginning, `(`, `|` or a group of flags.
    Nothing,
    Item,
    Repetition,
}

/// Writes `source` in the syntax of the `regex` crate.
pub(crate) fn translate(source: &str) -> Result<String, PatternError> {
    let mut translation = Translation {
        rest: source,
        out: String::with_capacity(source.len() * 2),
        names: HashSet::new(),
    };
    translation.run()?;
    Ok(translation.out)
}

fn fail<T>(description: &str) -> Result<T, PatternError> {
    Err(PatternError::new(description))
}

struct Translation<'a> {
    rest: &'a str,
    out: String,
    names: HashSet<&'a str>,
}

impl Translation<'_> {
    fn run(&mut self) -> Result<(), PatternError> {
        let mut before = Before::Nothing;
        // What stood before each open group is of no matter after it: a group is an item.
        let mut depth = 0_u32;
        while let Some(next) = self.take() {
            before = match next {
                '(' => {
                    if self.open_group()? {
                        depth += 1;
                    }
                    Before::Nothing
                }
                ')' => {
                    if depth == 0 {
                        // The words are RE2/J's.
                        return fail("regexp/syntax: internal error");
                    }
                    depth -= 1;
                    self.out.push(')');
                    Before::Item
                }
                '|' => {
                    self.out.push('|');
                    Before::Nothing
                }
                '*' | '+' | '?' => {
                    self.repeat(before, &next.to_string())?;
                    Before::Repetition
                }
                '{' => {
                    if let Some(counts) = self.take_counts()? {
                        self.repeat(before, &counts)?;
                        Before::Repetition
                    } else {
                        self.literal('{');
                        Before::Item
                    }
                }
                '[' => {
                    self.class()?;
                    Before::Item
                }
                '\\' => self.escape(before)?,
                '.' | '^' | '$' => {
                    // Grouped, for a repeated anchor is fine in RE2.
                    let _ = write!(self.out, "(?:{next})");
                    Before::Item
                }
                literal => {
                    self.literal(literal);
                    Before::Item
                }
            };
        }
        if depth == 0 { Ok(()) } else { fail(NO_PARENTHESIS) }
    }

    fn take(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let next = characters.next()?;
        self.rest = characters.as_str();
        Some(next)
    }

    /// Takes `text` where it is next.
    fn skip(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn literal(&mut self, literal: char) {
        if literal.is_ascii_alphanumeric() {
            self.out.push(literal);
        } else {
            let _ = write!(self.out, "\\x{{{:x}}}", u32::from(literal));
        }
    }

    fn repeat(&mut self, before: Before, operator: &str) -> Result<(), PatternError> {
        match before {
            Before::Nothing => return fail(NO_ARGUMENT),
            Before::Repetition => return fail(NESTED_REPEAT),
            Before::Item => {}
        }
        self.out.push_str(operator);
        if self.skip("?") {
            self.out.push('?');
        }
        Ok(())
    }

    /// `n}`, `n,}` or `n,m}` after a brace; `None`, with nothing taken, where the brace is a literal.
    fn take_counts(&mut self) -> Result<Option<String>, PatternError> {
        let Some(inner) = self.rest.split('}').next().filter(|inner| inner.len() < self.rest.len())
        else {
            return Ok(None);
        };
        let (low, high) = match inner.split_once(',') {
            Some((low, high)) => (low, Some(high)),
            None => (inner, None),
        };
        let is_number = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_digit())
                && (text.len() == 1 || !text.starts_with('0'))
        };
        if !is_number(low) || !high.is_none_or(|high| high.is_empty() || is_number(high)) {
            return Ok(None);
        }
        let count = |text: &str| text.parse::<u32>().ok().filter(|count| *count <= MAX_REPEAT);
        let Some(least) = count(low) else { return fail(BAD_REPEAT) };
        if let Some(high) = high.filter(|high| !high.is_empty())
            && count(high).is_none_or(|most| most < least)
        {
            return fail(BAD_REPEAT);
        }
        let counts = format!("{{{inner}}}");
        self.rest = self.rest.get(inner.len() + 1..).unwrap_or_default();
        Ok(Some(counts))
    }

    /// What follows `(`. Tells whether a group is open now: flags alone are none.
    fn open_group(&mut self) -> Result<bool, PatternError> {
        if !self.skip("?") {
            self.out.push('(');
            return Ok(true);
        }
        if self.skip("P<") || self.skip("<") {
            let Some((name, rest)) = self.rest.split_once('>') else { return fail(BAD_NAME) };
            let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if name.is_empty() || !name.bytes().all(is_word) {
                return fail(BAD_NAME);
            }
            if !self.names.insert(name) {
                return fail("duplicate capture group name");
            }
            self.rest = rest;
            self.out.push('(');
            return Ok(true);
        }
        let mut flags = String::new();
        loop {
            match self.take() {
                Some(flag @ ('i' | 'm' | 's' | 'U')) => flags.push(flag),
                Some('-') if !flags.contains('-') => flags.push('-'),
                Some(end @ (':' | ')')) => {
                    if flags.ends_with('-') {
                        return fail(BAD_FLAGS);
                    }
                    let is_group = end == ':';
                    // The same flag twice is an error in the crate's syntax, and none in RE2's.
                    self.write_flags(&flags, is_group)?;
                    return Ok(is_group);
                }
                _ => return fail(BAD_FLAGS),
            }
        }
    }

    fn write_flags(&mut self, flags: &str, is_group: bool) -> Result<(), PatternError> {
        let (on, off) = flags.split_once('-').unwrap_or((flags, ""));
        // The last word on a flag holds.
        let on: String =
            "imsU".chars().filter(|flag| on.contains(*flag) && !off.contains(*flag)).collect();
        let off: String = "imsU".chars().filter(|flag| off.contains(*flag)).collect();
        let dash = if off.is_empty() { "" } else { "-" };
        let written = match (is_group, on.is_empty() && off.is_empty()) {
            (true, _) => write!(self.out, "(?{on}{dash}{off}:"),
            (false, true) => Ok(()),
            (false, false) => write!(self.out, "(?{on}{dash}{off})"),
        };
        written.map_err(|_| PatternError::new(BAD_FLAGS))
    }

    /// What follows a backslash outside of a class.
    fn escape(&mut self, before: Before) -> Result<Before, PatternError> {
        if self.skip("Q") {
            let (quoted, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
            self.rest = rest;
            for literal in quoted.chars() {
                self.literal(literal);
            }
            return Ok(if quoted.is_empty() { before } else { Before::Item });
        }
        for anchor in ["A", "z", "b", "B"] {
            if self.skip(anchor) {
                // Of words of ASCII, as in RE2.
                let _ = write!(self.out, "(?-u:\\{anchor})");
                return Ok(Before::Item);
            }
        }
        if let Some(class) = self.perl_class() {
            let _ = write!(self.out, "[{class}]");
        } else if let Some(class) = self.unicode_class()? {
            self.out.push_str(&class);
        } else {
            let literal = self.escaped_character()?;
            self.literal(literal);
        }
        Ok(Before::Item)
    }

    /// `d`, `s` or `w` and their negations, as the inside of a class.
    fn perl_class(&mut self) -> Option<&'static str> {
        let class = match self.rest.chars().next()? {
            'd' => "[0-9]",
            'D' => "[^0-9]",
            's' => "[\\t\\n\\f\\r\\x{20}]",
            'S' => "[^\\t\\n\\f\\r\\x{20}]",
            'w' => "[0-9A-Za-z_]",
            'W' => "[^0-9A-Za-z_]",
            _ => return None,
        };
        self.take();
        Some(class)
    }

    /// `pN`, `p{Greek}`, `p{^Greek}` and their negations.
    fn unicode_class(&mut self) -> Result<Option<String>, PatternError> {
        let mut is_negated = match self.rest.chars().next() {
            Some('p') => false,
            Some('P') => true,
            _ => return Ok(None),
        };
        self.take();
        let mut name = match self.take() {
            None => return fail(BAD_RANGE),
            Some('{') => {
                let Some((name, rest)) = self.rest.split_once('}') else { return fail(BAD_RANGE) };
                self.rest = rest;
                name.to_owned()
            }
            Some(letter) => letter.to_string(),
        };
        if let Some(positive) = name.strip_prefix('^') {
            is_negated = !is_negated;
            name = positive.to_owned();
        }
        let is_name = name.starts_with(|first: char| first.is_ascii_uppercase())
            && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        if !is_name {
            return fail(BAD_RANGE);
        }
        let letter = if is_negated { 'P' } else { 'p' };
        // Categories have one letter or two, scripts have names.
        Ok(Some(match name.len() {
            _ if name == "Any" => format!("\\{letter}{{Any}}"),
            1 | 2 => format!("\\{letter}{{gc={name}}}"),
            _ => format!("\\{letter}{{sc={name}}}"),
        }))
    }

    /// The character that follows a backslash stands for.
    fn escaped_character(&mut self) -> Result<char, PatternError> {
        let Some(next) = self.take() else {
            return fail("trailing backslash at end of expression");
        };
        Ok(match next {
            'a' => '\u{7}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => return self.hexadecimal(),
            // A digit other than zero needs a second: alone it would be a reference to a group.
            '1'..='7' if !self.rest.starts_with(|digit: char| digit.is_digit(8)) => {
                return fail(BAD_ESCAPE);
            }
            '0'..='7' => {
                let mut value = next.to_digit(8).unwrap_or_default();
                for _ in 0..2 {
                    let Some(digit) = self.rest.chars().next().and_then(|each| each.to_digit(8))
                    else {
                        break;
                    };
                    self.take();
                    value = value * 8 + digit;
                }
                return char::from_u32(value).ok_or_else(|| PatternError::new(BAD_ESCAPE));
            }
            alphanumeric if alphanumeric.is_ascii_alphanumeric() => return fail(BAD_ESCAPE),
            literal => literal,
        })
    }

    /// `x7F` or `x{10FFFF}`, after the `x`.
    fn hexadecimal(&mut self) -> Result<char, PatternError> {
        let digits = if self.skip("{") {
            let Some((digits, rest)) = self.rest.split_once('}') else { return fail(BAD_ESCAPE) };
            self.rest = rest;
            digits
        } else {
            let Some((digits, rest)) = self.rest.split_at_checked(2) else {
                return fail(BAD_ESCAPE);
            };
            self.rest = rest;
            digits
        };
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u32::from_str_radix(digits, 16)
            .ok()
            .filter(|_| is_number)
            .and_then(char::from_u32)
            .ok_or_else(|| PatternError::new(BAD_ESCAPE))
    }

    /// What follows `[`, up to and with its `]`.
    fn class(&mut self) -> Result<(), PatternError> {
        self.out.push('[');
        if self.skip("^") {
            self.out.push('^');
        }
        let mut is_first = true;
        while is_first || !self.rest.starts_with(']') {
            if self.rest.is_empty() {
                return fail(NO_BRACKET);
            }
            is_first = false;
            if self.rest.starts_with("[:") && self.posix_class()? {
                continue;
            }
            if self.rest.starts_with('\\') {
                let whole = self.rest;
                self.take();
                if let Some(class) = self.perl_class() {
                    self.out.push_str(class);
                    continue;
                }
                if let Some(class) = self.unicode_class()? {
                    self.out.push_str(&class);
                    continue;
                }
                self.rest = whole;
            }
            self.range()?;
        }
        self.take();
        self.out.push(']');
        Ok(())
    }

    /// `[:alpha:]` inside of a class; false, with nothing taken, where it is not closed and so only characters.
    fn posix_class(&mut self) -> Result<bool, PatternError> {
        let Some((name, rest)) = self.rest.get(2..).and_then(|inner| inner.split_once(":]")) else {
            return Ok(false);
        };
        if !POSIX_CLASSES.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return fail(BAD_RANGE);
        }
        self.rest = rest;
        let _ = write!(self.out, "[:{name}:]");
        Ok(true)
    }

    /// One character of a class, or two with a dash between.
    fn range(&mut self) -> Result<(), PatternError> {
        let low = self.class_character()?;
        let mut high = low;
        if self.rest.starts_with('-') && !self.rest.starts_with("-]") {
            self.take();
            high = self.class_character()?;
            if high < low {
                return fail(BAD_RANGE);
            }
        }
        let _ = write!(self.out, "\\x{{{:x}}}-\\x{{{:x}}}", u32::from(low), u32::from(high));
        Ok(())
    }

    fn class_character(&mut self) -> Result<char, PatternError> {
        match self.take() {
            None => fail(NO_BRACKET),
            Some('\\') => self.escaped_character(),
            Some(character) => Ok(character),
        }
    }
}
