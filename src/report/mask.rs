//! Pure. Values whose key looks like a secret's, made unreadable, line by line, wherever text is shown to people.
//!
//! Masking too much costs a reader one look at the cluster; masking too little costs a password. So the key only has
//! to contain one of the words, in whatever case, and a user's part of an address goes too.

/// What stands in a masked value's place.
pub const MASK: &str = "•••";

const SUSPICIOUS: [&str; 6] = ["pass", "secret", "token", "key", "credential", "dsn"];

/// Whether a value under this key is not for every reader's eyes.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SUSPICIOUS.iter().any(|word| key.contains(word))
}

/// One line with the values of suspicious keys masked: `key: v`, `key=v`, `"key": "v"`, also several in a line.
pub fn mask_line(line: &str) -> String {
    let line = mask_addresses(line);
    let Some((start, end)) = first_secret_value(&line) else {
        return line;
    };
    let (head, value) = (line.get(..start).unwrap_or(""), line.get(start..).unwrap_or(""));
    let value_end = end.saturating_sub(start);
    let tail = value.get(value_end..).unwrap_or("");
    format!("{head}{MASK}{}", mask_line(tail))
}

/// A whole text or diff, with what one line alone does not show: the `value:` after `name: DB_PASSWORD`, what stands
/// indented under `tls.key: |`, the items under `tokens:`, the argument after `--password`.
pub fn mask_text(text: &str) -> String {
    let signed = text
        .lines()
        .all(|l| l.is_empty() || l.starts_with([' ', '+', '-', '@', '\\']));
    let mut context = Context::default();
    let lines: Vec<String> = text
        .lines()
        .map(|line| {
            let (sign, body) = line.split_at(usize::from(signed && !line.is_empty()));
            format!("{sign}{}", context.mask(body))
        })
        .collect();
    lines.join("\n")
}

/// What the lines above say about the next one.
#[derive(Default)]
struct Context {
    /// The last `name:` was a suspicious one.
    secret_name: bool,
    /// The indentation of a suspicious key whose value follows as an indented block.
    block: Option<usize>,
    /// The indentation of a suspicious key without a value: bare items under it are values.
    list: Option<usize>,
    /// The line above is a bare suspicious flag.
    flag: bool,
}

impl Context {
    fn mask(&mut self, body: &str) -> String {
        let indent = body.len().saturating_sub(body.trim_start().len());
        let blank = " ".repeat(indent);
        if self.block.is_some_and(|outer| indent > outer) {
            return format!("{blank}{MASK}");
        }
        self.block = None;
        let (key, value) = pair(body);
        let item = body.trim_start().starts_with("- ");
        let bare = value.is_empty() && !body.trim_end().ends_with(':');
        if std::mem::take(&mut self.flag) && bare {
            return format!("{blank}{}{MASK}", if item { "- " } else { "" });
        }
        self.list = self.list.filter(|outer| indent >= *outer && item);
        if self.list.is_some() && bare {
            return format!("{blank}- {MASK}");
        }
        let opens_block = value.starts_with(['|', '>']);
        if key == "value" && self.secret_name && !value.is_empty() {
            self.block = opens_block.then_some(indent);
            let head = body.find(':').and_then(|at| body.get(..=at)).unwrap_or("");
            return format!("{head} {MASK}");
        }
        self.secret_name = match key {
            "name" => is_secret(value),
            "value" => self.secret_name,
            _ => self.secret_name && body.starts_with('@'),
        };
        if is_secret(key) {
            self.flag = bare && key.starts_with('-');
            self.block = opens_block.then_some(indent);
            self.list = (value.is_empty() && !bare).then_some(indent);
        }
        mask_line(body)
    }
}

/// `- name: "X",` as (`name`, `X`).
fn pair(body: &str) -> (&str, &str) {
    let bare = body.trim().trim_start_matches("- ").trim_start();
    let (key, value) = bare.split_once(':').unwrap_or((bare, ""));
    let strip = |text| str::trim_matches(text, |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ','));
    (strip(key), strip(value))
}

/// Where the first value of a suspicious key stands: from its first character to before what follows it.
fn first_secret_value(line: &str) -> Option<(usize, usize)> {
    line.char_indices()
        .filter(|(_, c)| matches!(c, ':' | '='))
        .find_map(|(at, separator)| {
            let key = line
                .get(..at)?
                .trim_end()
                .trim_end_matches(['"', '\''])
                .rsplit(|c: char| {
                    c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '{' | '(' | '[' | '&' | '?' | ';')
                })
                .next()?;
            let rest = line.get(at.checked_add(separator.len_utf8())?..)?;
            let value = rest.trim_start();
            if !is_secret(key) || value.is_empty() || value.starts_with(MASK) || value.starts_with(['|', '>']) {
                return None;
            }
            let start = line.len().checked_sub(value.len())?;
            let head = line.get(..start)?;
            Some((start, start.checked_add(value_length(head, separator, value))?))
        })
}

/// A quoted value ends at its quote; a bare one at the line's end, unless it stands in brackets or in an address.
fn value_length(head: &str, separator: char, value: &str) -> usize {
    let mut chars = value.char_indices();
    let Some((_, first)) = chars.next() else { return 0 };
    if matches!(first, '"' | '\'') {
        let mut escaped = false;
        for (at, c) in chars {
            if c == first && !escaped {
                return at.saturating_add(1);
            }
            escaped = c == '\\' && !escaped;
        }
        return value.len();
    }
    let end = if matches!(first, '{' | '[') {
        None
    } else if separator == '=' && head.contains('?') {
        value.find(|c: char| c == '&' || c.is_whitespace())
    } else if head.contains(['{', '(', '[']) {
        value.find([',', '}', ')', ']'])
    } else {
        None
    };
    end.unwrap_or(value.len())
}

/// `postgres://user:word@host` keeps only the scheme and the host.
fn mask_addresses(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((head, tail)) = rest.split_once("://") {
        out.push_str(head);
        out.push_str("://");
        let authority = tail
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '?' | '#'))
            .unwrap_or(tail.len());
        rest = match tail.get(..authority).and_then(|part| part.rfind('@')) {
            Some(at) => {
                out.push_str(MASK);
                tail.get(at..).unwrap_or("")
            }
            None => tail,
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_suspicious_keys_are_masked_whatever_the_form() {
        for (line, masked) in [
            ("DB_PASSWORD: hunter2", "DB_PASSWORD: •••"),
            ("+  api_token=abc def", "+  api_token=•••"),
            (r#"{"apiKey": "a\"b", "mode": "x"}"#, r#"{"apiKey": •••, "mode": "x"}"#),
            ("DSN = 'user pass'", "DSN = •••"),
            ("url: postgres://app:hunter2@db/orders", "url: postgres://•••@db/orders"),
            ("https://x/?token=abc&mode=1", "https://x/?token=•••&mode=1"),
            ("env WORKER_MODE: celery", "env WORKER_MODE: celery"),
            ("secretKeyRef:", "secretKeyRef:"),
            ("credentials: {user: a, password: b}", "credentials: •••"),
            ("db: {user: a, password: b}", "db: {user: a, password: •••}"),
            ("PASSWORD=a,b&c d", "PASSWORD=•••"),
        ] {
            assert_eq!(mask_line(line), masked);
        }
    }

    #[test]
    fn masking_twice_changes_nothing() {
        let once = mask_line("a_key: 'x', b_token=y,z");
        assert_eq!(once, "a_key: •••, b_token=•••");
        assert_eq!(mask_line(&once), once);
    }

    #[test]
    fn a_value_is_masked_where_only_the_lines_above_tell() {
        let diff = "       - name: DB_PASSWORD
-        value: old
+        value: new
       - name: MODE
+        value: celery
+  tls.key: |
+    -----BEGIN
+    abc
   mode: fast
   tokens:
+  - abc
   args:
   - --password
+  - hunter2
   - --mode=x";
        insta::assert_snapshot!(mask_text(diff), @r"
               - name: DB_PASSWORD
        -        value: •••
        +        value: •••
               - name: MODE
        +        value: celery
        +  tls.key: |
        +    •••
        +    •••
           mode: fast
           tokens:
        +  - •••
           args:
           - --password
        +  - •••
           - --mode=x
        ");
    }
}
