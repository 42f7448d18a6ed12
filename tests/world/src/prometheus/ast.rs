//! A parsed query. Pure.

use super::pattern::Pattern;

/// An expression.
#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Number(f64),
    Selector(Selector),
    Call(Function, Vec<Expr>),
    Aggregate {
        by: Vec<String>,
        with: Aggregation,
        of: Box<Expr>,
    },
    Negative(Box<Expr>),
    /// `label_replace(of, "label", "value", "", "")`: every element gets that label.
    Labelled {
        of: Box<Expr>,
        label: String,
        value: String,
    },
    Binary {
        left: Box<Expr>,
        operator: Operator,
        on: Option<Vec<String>>,
        /// `group_left ()`: several on the left may have the same partner.
        many: bool,
        right: Box<Expr>,
    },
}

/// Which samples: `name{matchers}[range] offset back`, in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
    pub(crate) name: String,
    pub(crate) matchers: Vec<(String, Matcher)>,
    pub(crate) range: Option<i64>,
    pub(crate) back: i64,
}

/// What a label's value must be; an absent label is "".
#[derive(Clone, Debug)]
pub(crate) enum Matcher {
    Equal(String),
    NotEqual(String),
    Like(Pattern),
    Unlike(Pattern),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aggregation {
    Sum,
    Max,
    Min,
    Avg,
    Count,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Or,
    And,
    Unless,
    Add,
    Subtract,
    Multiply,
    Divide,
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterEqual,
    LessEqual,
}

/// The functions that are known, with what they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Time,
    Timestamp,
    ClampMin,
    ClampMax,
    Abs,
    Rate,
    Increase,
    HistogramQuantile,
    MaxOverTime,
    MinOverTime,
    AvgOverTime,
    SumOverTime,
    CountOverTime,
    LastOverTime,
}

/// The kinds of value that an expression can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Scalar,
    Instant,
    Range,
}

impl Type {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Type::Scalar => "scalar",
            Type::Instant => "instant vector",
            Type::Range => "range vector",
        }
    }
}

const FUNCTIONS: [(&str, Function, &[Type]); 14] = [
    ("time", Function::Time, &[]),
    ("timestamp", Function::Timestamp, &[Type::Instant]),
    ("clamp_min", Function::ClampMin, &[Type::Instant, Type::Scalar]),
    ("clamp_max", Function::ClampMax, &[Type::Instant, Type::Scalar]),
    ("abs", Function::Abs, &[Type::Instant]),
    ("rate", Function::Rate, &[Type::Range]),
    ("increase", Function::Increase, &[Type::Range]),
    (
        "histogram_quantile",
        Function::HistogramQuantile,
        &[Type::Scalar, Type::Instant],
    ),
    ("max_over_time", Function::MaxOverTime, &[Type::Range]),
    ("min_over_time", Function::MinOverTime, &[Type::Range]),
    ("avg_over_time", Function::AvgOverTime, &[Type::Range]),
    ("sum_over_time", Function::SumOverTime, &[Type::Range]),
    ("count_over_time", Function::CountOverTime, &[Type::Range]),
    ("last_over_time", Function::LastOverTime, &[Type::Range]),
];

impl Function {
    pub(crate) fn named(name: &str) -> Option<(Function, &'static [Type])> {
        let found = FUNCTIONS.iter().find(|entry| entry.0 == name)?;
        Some((found.1, found.2))
    }

    pub(crate) fn name(self) -> &'static str {
        FUNCTIONS
            .iter()
            .find(|entry| entry.1 == self)
            .map_or("", |entry| entry.0)
    }
}

impl Operator {
    pub(crate) fn is_set(self) -> bool {
        matches!(self, Operator::Or | Operator::And | Operator::Unless)
    }

    /// Higher binds tighter.
    pub(crate) fn precedence(self) -> u8 {
        match self {
            Operator::Or => 1,
            Operator::And | Operator::Unless => 2,
            Operator::Equal
            | Operator::NotEqual
            | Operator::Greater
            | Operator::Less
            | Operator::GreaterEqual
            | Operator::LessEqual => 3,
            Operator::Add | Operator::Subtract => 4,
            Operator::Multiply | Operator::Divide => 5,
        }
    }
}

impl Expr {
    pub(crate) fn kind(&self) -> Type {
        match self {
            Expr::Number(_) | Expr::Call(Function::Time, _) => Type::Scalar,
            Expr::Selector(selector) if selector.range.is_some() => Type::Range,
            Expr::Selector(_) | Expr::Call(..) | Expr::Aggregate { .. } | Expr::Labelled { .. } => Type::Instant,
            Expr::Negative(inner) => inner.kind(),
            Expr::Binary { left, right, .. } => match (left.kind(), right.kind()) {
                (Type::Scalar, Type::Scalar) => Type::Scalar,
                _ => Type::Instant,
            },
        }
    }
}

impl Matcher {
    pub(crate) fn takes(&self, value: &str) -> bool {
        match self {
            Matcher::Equal(wanted) => value == wanted,
            Matcher::NotEqual(wanted) => value != wanted,
            Matcher::Like(pattern) => pattern.matches(value),
            Matcher::Unlike(pattern) => !pattern.matches(value),
        }
    }
}
