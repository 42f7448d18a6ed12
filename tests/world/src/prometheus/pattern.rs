//! Regular expressions, the small part that matchers and schemas need: alternatives, groups,
//! classes, `.`, `* + ?` and escapes. A list of plain words is looked up, not searched. Pure.

use std::collections::BTreeSet;

/// A compiled expression.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    Words(BTreeSet<String>),
    Tree { node: Node, anchored: bool },
}

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Any,
    Letter(char),
    Class { negated: bool, ranges: Vec<(char, char)> },
    Start,
    End,
    Sequence(Vec<Node>),
    Either(Vec<Node>),
    Repeat { node: Box<Node>, least: usize, most: usize },
}

impl Pattern {
    /// One that must match the whole text, as in a matcher.
    pub(crate) fn anchored(text: &str) -> Result<Pattern, String> {
        let node = parsed(text)?;
        match words(&node) {
            Some(words) => Ok(Pattern::Words(words)),
            None => Ok(Pattern::Tree { node, anchored: true }),
        }
    }

    /// One that may match anywhere, as in a schema.
    pub(crate) fn unanchored(text: &str) -> Result<Pattern, String> {
        Ok(Pattern::Tree {
            node: parsed(text)?,
            anchored: false,
        })
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        let (node, anchored) = match self {
            Pattern::Words(words) => return words.contains(text),
            Pattern::Tree { node, anchored } => (node, *anchored),
        };
        let letters: Vec<char> = text.chars().collect();
        let starts = if anchored { 0..=0 } else { 0..=letters.len() };
        let whole = |at: usize| !anchored || at == letters.len();
        starts
            .into_iter()
            .any(|start| walk(node, &letters, start, &mut |at| whole(at)))
    }
}

/// The words, where the expression is nothing but alternatives of plain ones.
fn words(node: &Node) -> Option<BTreeSet<String>> {
    let word = |node: &Node| -> Option<String> {
        let Node::Sequence(letters) = node else { return None };
        letters
            .iter()
            .map(|node| if let Node::Letter(one) = node { Some(*one) } else { None })
            .collect()
    };
    if let Node::Either(branches) = node {
        return branches.iter().map(word).collect();
    }
    word(node).map(|word| BTreeSet::from([word]))
}

/// Tries every way to match `node` from `at`; `then` says whether the rest matches.
fn walk(node: &Node, text: &[char], at: usize, then: &mut dyn FnMut(usize) -> bool) -> bool {
    let letter = text.get(at).copied();
    match node {
        Node::Any => letter.is_some() && then(at + 1),
        Node::Letter(wanted) => letter == Some(*wanted) && then(at + 1),
        Node::Class { negated, ranges } => letter.is_some_and(|letter| {
            let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&letter));
            inside != *negated && then(at + 1)
        }),
        Node::Start => at == 0 && then(at),
        Node::End => at == text.len() && then(at),
        Node::Sequence(nodes) => match nodes.split_first() {
            None => then(at),
            Some((first, rest)) => {
                let mut rest_matches = |next: usize| rest_of(rest, text, next, then);
                walk(first, text, at, &mut rest_matches)
            }
        },
        Node::Either(branches) => branches.iter().any(|branch| walk(branch, text, at, then)),
        Node::Repeat { node, least, most } => repeat(node, *least, *most, text, at, then),
    }
}

fn rest_of(nodes: &[Node], text: &[char], at: usize, then: &mut dyn FnMut(usize) -> bool) -> bool {
    match nodes.split_first() {
        None => then(at),
        Some((first, rest)) => walk(first, text, at, &mut |next| rest_of(rest, text, next, then)),
    }
}

fn repeat(
    node: &Node,
    least: usize,
    most: usize,
    text: &[char],
    at: usize,
    then: &mut dyn FnMut(usize) -> bool,
) -> bool {
    let again = most > 0
        && walk(node, text, at, &mut |next| {
            (next > at || least > 0) && repeat(node, least.saturating_sub(1), most - 1, text, next, then)
        });
    again || (least == 0 && then(at))
}

fn parsed(text: &str) -> Result<Node, String> {
    let letters: Vec<char> = text.chars().collect();
    let mut parser = Parser {
        letters: &letters,
        at: 0,
    };
    let node = parser.alternatives()?;
    match parser.peek() {
        None => Ok(node),
        Some(letter) => Err(format!("error parsing regexp: unexpected {letter}: `{text}`")),
    }
}

struct Parser<'a> {
    letters: &'a [char],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.letters.get(self.at).copied()
    }

    fn take(&mut self) -> Option<char> {
        let letter = self.peek();
        self.at += 1;
        letter
    }

    fn takes(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn alternatives(&mut self) -> Result<Node, String> {
        let mut branches = vec![self.sequence()?];
        while self.takes('|') {
            branches.push(self.sequence()?);
        }
        Ok(match branches.len() {
            1 => branches.remove(0),
            _ => Node::Either(branches),
        })
    }

    fn sequence(&mut self) -> Result<Node, String> {
        let mut nodes = Vec::new();
        while self.peek().is_some_and(|letter| letter != '|' && letter != ')') {
            let node = self.atom()?;
            nodes.push(self.repeated(node)?);
        }
        Ok(Node::Sequence(nodes))
    }

    fn repeated(&mut self, node: Node) -> Result<Node, String> {
        let (least, most) = match self.peek() {
            Some('*') => (0, usize::MAX),
            Some('+') => (1, usize::MAX),
            Some('?') => (0, 1),
            Some('{') => return self.counted(node),
            _ => return Ok(node),
        };
        self.at += 1;
        // A lazy match finds the same texts.
        self.takes('?');
        Ok(Node::Repeat {
            node: Box::new(node),
            least,
            most,
        })
    }

    fn counted(&mut self, node: Node) -> Result<Node, String> {
        let end = self.letters[self.at..].iter().position(|letter| *letter == '}');
        let end = end.ok_or("error parsing regexp: missing }")? + self.at;
        let inner: String = self.letters[self.at + 1..end].iter().collect();
        self.at = end + 1;
        let number = |text: &str| text.parse::<usize>().map_err(|error| error.to_string());
        let (least, most) = match inner.split_once(',') {
            None => (number(&inner)?, number(&inner)?),
            Some((least, "")) => (number(least)?, usize::MAX),
            Some((least, most)) => (number(least)?, number(most)?),
        };
        Ok(Node::Repeat {
            node: Box::new(node),
            least,
            most,
        })
    }

    fn atom(&mut self) -> Result<Node, String> {
        match self.take() {
            Some('(') => {
                if self.letters[self.at..].starts_with(&['?', ':']) {
                    self.at += 2;
                }
                let node = self.alternatives()?;
                match self.takes(')') {
                    true => Ok(node),
                    false => Err("error parsing regexp: missing closing )".into()),
                }
            }
            Some('.') => Ok(Node::Any),
            Some('^') => Ok(Node::Start),
            Some('$') => Ok(Node::End),
            Some('[') => self.class(),
            Some('\\') => self.escaped(),
            Some(letter @ ('*' | '+' | '?')) => Err(format!(
                "error parsing regexp: missing argument to repetition operator: `{letter}`"
            )),
            Some(letter) => Ok(Node::Letter(letter)),
            None => Err("error parsing regexp: unexpected end".into()),
        }
    }

    fn escaped(&mut self) -> Result<Node, String> {
        let letter = self.take().ok_or("error parsing regexp: trailing backslash")?;
        let word = vec![('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')];
        let space = vec![(' ', ' '), ('\t', '\t'), ('\n', '\n'), ('\r', '\r')];
        let (negated, ranges) = match letter {
            'd' | 'D' => (letter == 'D', vec![('0', '9')]),
            'w' | 'W' => (letter == 'W', word),
            's' | 'S' => (letter == 'S', space),
            'n' => return Ok(Node::Letter('\n')),
            't' => return Ok(Node::Letter('\t')),
            _ => return Ok(Node::Letter(letter)),
        };
        Ok(Node::Class { negated, ranges })
    }

    fn class(&mut self) -> Result<Node, String> {
        let negated = self.takes('^');
        let mut ranges = Vec::new();
        loop {
            let low = self.take().ok_or("error parsing regexp: missing closing ]")?;
            match low {
                ']' if !ranges.is_empty() => return Ok(Node::Class { negated, ranges }),
                '\\' => {
                    let escaped = self.escaped()?;
                    if let Node::Class { ranges: more, .. } = escaped {
                        ranges.extend(more);
                    } else if let Node::Letter(letter) = escaped {
                        ranges.push((letter, letter));
                    }
                }
                low => {
                    let range =
                        self.peek() == Some('-') && self.letters.get(self.at + 1).is_some_and(|next| *next != ']');
                    let mut high = low;
                    if range {
                        self.at += 1;
                        high = self.take().unwrap_or(low);
                    }
                    ranges.push((low, high));
                }
            }
        }
    }
}
