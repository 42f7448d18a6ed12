//! PromQL text to tokens. Pure.

use super::exposition;

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Word(String),
    Number(f64),
    /// Milliseconds.
    Duration(i64),
    Text(String),
    Sign(&'static str),
}

const SIGNS: [&str; 22] = [
    "!=", "!~", "=~", "==", ">=", "<=", "(", ")", "{", "}", "[", "]", ",", "+", "-", "*", "/", "%", "^", ">", "<", "=",
];

/// The tokens with the positions where they begin, or a message and its position.
pub(crate) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, (usize, String)> {
    let (mut at, mut found) = (0, Vec::new());
    while let Some(letter) = text[at..].chars().next() {
        if letter.is_whitespace() {
            at += letter.len_utf8();
            continue;
        }
        let (token, length) = token(&text[at..]).map_err(|message| (at, message))?;
        found.push((at, token));
        at += length;
    }
    Ok(found)
}

fn token(text: &str) -> Result<(Token, usize), String> {
    let first = text.chars().next().unwrap_or_default();
    if first == '"' || first == '\'' {
        return quoted(text, first);
    }
    if first.is_ascii_digit() || first == '.' {
        let length = length_while(text, |letter| letter.is_ascii_alphanumeric() || letter == '.');
        return numeric(&text[..length]).map(|token| (token, length));
    }
    if first.is_ascii_alphabetic() || first == '_' || first == ':' {
        let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
        let length = length_while(text, word);
        let word = &text[..length];
        let number = matches!(word.to_ascii_lowercase().as_str(), "inf" | "nan");
        let number = number.then(|| exposition::number(word)).flatten();
        let token = number.map_or_else(|| Token::Word(word.into()), Token::Number);
        return Ok((token, length));
    }
    let sign = SIGNS.iter().find(|sign| text.starts_with(**sign));
    let sign = sign.ok_or_else(|| format!("unexpected character: {first:?}"))?;
    Ok((Token::Sign(sign), sign.len()))
}

fn quoted(text: &str, quote: char) -> Result<(Token, usize), String> {
    let (mut value, mut letters) = (String::new(), text.char_indices().skip(1));
    while let Some((at, letter)) = letters.next() {
        match letter {
            letter if letter == quote => return Ok((Token::Text(value), at + 1)),
            '\\' => match letters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, letter @ ('\\' | '"' | '\''))) => value.push(letter),
                _ => return Err("unknown escape sequence".into()),
            },
            letter => value.push(letter),
        }
    }
    Err("unterminated quoted string".into())
}

fn numeric(text: &str) -> Result<Token, String> {
    if let Ok(number) = text.parse() {
        return Ok(Token::Number(number));
    }
    duration(text)
        .map(Token::Duration)
        .ok_or_else(|| format!("bad number or duration syntax: {text:?}"))
}

/// `1h30m` in milliseconds.
fn duration(text: &str) -> Option<i64> {
    let (mut rest, mut total) = (text, 0);
    while !rest.is_empty() {
        let digits = length_while(rest, |letter| letter.is_ascii_digit());
        let letters = length_while(&rest[digits..], |letter| letter.is_ascii_alphabetic());
        let number: i64 = rest[..digits].parse().ok()?;
        let unit = match &rest[digits..digits + letters] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            "y" => 31_536_000_000,
            _ => return None,
        };
        total += number * unit;
        rest = &rest[digits + letters..];
    }
    Some(total)
}

fn length_while(text: &str, holds: impl Fn(char) -> bool) -> usize {
    text.find(|letter| !holds(letter)).unwrap_or(text.len())
}
