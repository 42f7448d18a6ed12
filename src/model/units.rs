//! Pure. Lengths of time and shares as people write them, each with one parser.
//!
//! A length is humantime text (`90s`, `15m`, `7d`), a share is `'70%'` or `'0.7'`. Both keep to text in YAML,
//! so that nothing is guessed from a bare number.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A length of time, written as humantime text: `90s`, `15m`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Length(pub Duration);

/// A share between 0 and 1, written `'5%'` or `'0.05'` (or `1e-6` where it is an error rate).
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(pub f64);

/// The error with which a ratio must be beyond its limit before modosu acts on it, or `off`: plain comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Certainty {
    Off,
    At(Share),
}

/// A number with its unit as people write it: `200ms`, `'5%'`, `120/s`, `40`. What it counts is checked where it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount(pub String);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Whole(i64),
            Broken(f64),
        }
        Ok(Self(match Written::deserialize(deserializer)? {
            Written::Text(text) => text,
            Written::Whole(number) => number.to_string(),
            Written::Broken(number) => number.to_string(),
        }))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"x-kubernetes-int-or-string": true, "description": "A number with its unit such as 200ms, '5%' or 40."})
    }
}

impl Default for Certainty {
    fn default() -> Self {
        Self::At(Share(1e-6))
    }
}

impl FromStr for Certainty {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<Share>() {
            _ if text == "off" => Ok(Self::Off),
            Ok(Share(error)) if error > 0.0 && error < 0.5 => Ok(Self::At(Share(error))),
            _ => Err(format!("`{text}` is neither `off` nor an error rate such as `'1e-6'`")),
        }
    }
}

impl fmt::Display for Certainty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(Share(error)) => write!(f, "{error:e}"),
        }
    }
}

impl Length {
    /// `n` whole seconds.
    pub const fn seconds(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }
    /// `n` whole minutes.
    pub const fn minutes(n: u64) -> Self {
        Self(Duration::from_secs(n * 60))
    }
    /// `n` whole hours.
    pub const fn hours(n: u64) -> Self {
        Self(Duration::from_secs(n * 3600))
    }
}

impl FromStr for Length {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text)
            .map(Self)
            .map_err(|why| format!("`{text}` is not a length of time such as `90s`, `15m` or `7d`: {why}"))
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_duration(self.0))
    }
}

impl FromStr for Share {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a share such as `'5%'` or `'0.05'`");
        let trimmed = text.trim();
        let (digits, divisor) = trimmed
            .strip_suffix('%')
            .map_or((trimmed, 1.0), |d| (d.trim_end(), 100.0));
        let value = digits.parse::<f64>().map_err(|_| wrong())? / divisor;
        if (0.0..=1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

macro_rules! as_text {
    ($type:ident, $name:literal, $example:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "description": $example})
            }
        }
    };
}
as_text!(Length, "Length", "A length of time such as 90s, 15m or 7d.");
as_text!(Share, "Share", "A share such as '5%' or '0.05'.");
as_text!(Certainty, "Certainty", "An error rate such as '1e-6', or off.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_reads_percent_and_plain_numbers() {
        assert_eq!("70%".parse(), Ok(Share(0.7)));
        assert_eq!("1e-6".parse(), Ok(Share(1e-6)));
        assert!("140%".parse::<Share>().is_err());
        assert!("NaN".parse::<Share>().is_err());
    }

    #[test]
    fn a_length_says_what_would_be_right() {
        assert_eq!("1h 30m".parse(), Ok(Length::minutes(90)));
        let wrong = "soon".parse::<Length>().unwrap_err();
        assert!(
            wrong.contains("`soon` is not a length of time such as `90s`"),
            "{wrong}"
        );
    }
}
