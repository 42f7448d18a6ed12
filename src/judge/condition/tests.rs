use proptest::prelude::*;

use super::{
    Condition, Truth, parse,
    syntax::{Function, Node, Operator, Place, Suffix, Syntax},
};
use crate::{
    judge::policy::{Signal, Source},
    model::guard::{Unit, Worse},
};

fn signals() -> Vec<Signal> {
    let signal = |name: &str, unit, source| Signal {
        name: name.into(),
        unit,
        worse: Worse::Up,
        source,
    };
    let bad = || Source::Bad {
        bad: "bad".into(),
        total: "all".into(),
    };
    let gauge = || Source::Gauge { query: "x".into() };
    vec![
        signal("coverage", Unit::Ratio, gauge()),
        signal("error_rate", Unit::Ratio, bad()),
        signal("memory", Unit::Bytes, gauge()),
        signal("queue_depth", Unit::Count, gauge()),
        signal("request_rate", Unit::Rate, Source::Rate { counter: "all".into() }),
        signal(
            "response_time",
            Unit::Seconds,
            Source::Quantile {
                histogram: "h".into(),
                q: 0.95,
                scale: 1.0,
            },
        ),
        signal("success_rate", Unit::Ratio, Source::Complement { of: 1 }),
    ]
}

/// The truth with these numbers; a signal or baseline that is not listed is missing.
fn truth(condition: &str, numbers: &[(&str, f64)], baselines: &[(&str, f64)]) -> Truth {
    let signals = signals();
    let find = |list: &[(&str, f64)], place: usize| {
        list.iter()
            .find(|(name, _)| signals[place].name == *name)
            .map(|(_, value)| *value)
    };
    let compiled = Condition::compile(condition, &signals).unwrap_or_else(|wrong| panic!("{wrong}"));
    compiled.truth(&|place| find(numbers, place), &|place| find(baselines, place))
}

fn wrong(condition: &str) -> String {
    Condition::compile(condition, &signals())
        .map(|_| ())
        .unwrap_err()
        .to_string()
}

#[test]
fn plan_a_reads_as_it_was_meant() {
    assert_eq!(truth("success_rate < 70%", &[("success_rate", 0.69)], &[]), Truth::True);
    assert_eq!(truth("success_rate < 70%", &[("success_rate", 0.7)], &[]), Truth::False);
    let slow = "response_time > baseline * 1.5";
    assert_eq!(
        truth(slow, &[("response_time", 0.31)], &[("response_time", 0.2)]),
        Truth::True
    );
    assert_eq!(
        truth(slow, &[("response_time", 0.3)], &[("response_time", 0.2)]),
        Truth::False
    );
    assert_eq!(truth(slow, &[("response_time", 0.3)], &[]), Truth::Unknown);
    assert_eq!(truth("error_rate > 5%", &[("error_rate", 0.05)], &[]), Truth::False);
}

#[test]
fn every_exact_share_of_every_count_is_not_beyond_the_same_limit() {
    for (limit, per_hundred) in [("5%", 5), ("70%", 70), ("0.1%", 0), ("7%", 7), ("29%", 29)] {
        let above = Condition::compile(&format!("error_rate > {limit}"), &signals()).unwrap();
        let below = Condition::compile(&format!("error_rate < {limit}"), &signals()).unwrap();
        for hundreds in 1..2000_u32 {
            let bad = if per_hundred == 0 {
                f64::from(hundreds)
            } else {
                f64::from(hundreds * per_hundred)
            };
            let total = f64::from(hundreds) * if per_hundred == 0 { 1000.0 } else { 100.0 };
            for share in [bad / total, 1.0 - (total - bad) / total] {
                assert_eq!(
                    above.truth(&|_| Some(share), &|_| None),
                    Truth::False,
                    "{share} > {limit}"
                );
                assert_eq!(
                    below.truth(&|_| Some(share), &|_| None),
                    Truth::False,
                    "{share} < {limit}"
                );
            }
        }
    }
}

#[test]
fn what_is_missing_makes_only_what_depends_on_it_unknown() {
    let known = [("error_rate", 0.5)];
    assert_eq!(truth("error_rate > 5% or memory > 1GiB", &known, &[]), Truth::True);
    assert_eq!(truth("memory > 1GiB or error_rate > 5%", &known, &[]), Truth::True);
    assert_eq!(truth("error_rate < 5% and memory > 1GiB", &known, &[]), Truth::False);
    assert_eq!(truth("memory > 1GiB and error_rate < 5%", &known, &[]), Truth::False);
    assert_eq!(truth("error_rate > 5% and memory > 1GiB", &known, &[]), Truth::Unknown);
    assert_eq!(truth("not (memory > 1GiB)", &known, &[]), Truth::Unknown);
    assert_eq!(
        truth("error_rate / (error_rate - error_rate) > 1", &known, &[]),
        Truth::Unknown
    );
}

#[test]
fn arithmetic_change_and_functions() {
    let now = [
        ("request_rate", 90.0),
        ("response_time", 0.25),
        ("error_rate", 0.5),
        ("memory", 64.0 * 1024.0 * 1024.0),
    ];
    let then = [("request_rate", 100.0), ("response_time", 0.2), ("error_rate", 0.0)];
    for holds in [
        "change(request_rate) <= -10%",
        "not change(request_rate) < -10%",
        "abs(change(request_rate)) > 2%",
        "change(response_time) > 20% and change(response_time) < 0.3",
        "response_time / baseline > 120%",
        "response_time - baseline(response_time) >= 50ms and request_rate >= 90/s",
        "error_rate * request_rate > 44/s",
        "request_rate * 60s > 5000 and 1 < request_rate * 1m",
        "max(response_time, 100ms) < min(1s, 0.5s) and -response_time < 0s",
        "memory >= 64MiB and memory <= 67.2MB",
        "1 + 2 * 3 > 6 and error_rate > 0",
        "response_time > 200000us and response_time < 0.01h",
        "response_time > 200000µs and response_time > 200000\u{3bc}s",
        "error_rate > .4 and error_rate >= .5e0 and error_rate < 1.",
    ] {
        assert_eq!(truth(holds, &now, &then), Truth::True, "{holds}");
    }
    assert_eq!(
        truth("change(error_rate) > 10%", &now, &then),
        Truth::Unknown,
        "relative to nothing"
    );
}

#[test]
fn mistakes_show_the_place_and_what_would_be_right() {
    insta::assert_snapshot!(wrong("success_rate < 70ms"), @r#"
column 16: `success_rate` is a share, `70ms` is a time; a share is compared with one such as `5%` or `0.05`
success_rate < 70ms
               ^
"#);
    insta::assert_snapshot!(wrong("response_time > 5%"), @r#"
column 17: `response_time` is a time, `5%` is a share; a time is compared with one such as `250ms` or `1.5s`
response_time > 5%
                ^
"#);
    insta::assert_snapshot!(wrong("error_rate > 5% and\n  sucess_rate < 70%"), @r#"
column 3: there is no signal `sucess_rate`; did you mean `success_rate`?
  sucess_rate < 70%
  ^
"#);
    insta::assert_snapshot!(wrong("error_rate > 5% または success_rate < 70%"), @r#"
column 17: `ま` is not part of the condition language
error_rate > 5% または success_rate < 70%
                ^
"#);
    insta::assert_snapshot!(wrong("error_rate == 5%"), @r#"
column 12: measured numbers are hardly ever exactly equal; give a range, such as `x >= 4 and x <= 5`, or `abs(change(x)) <= 2%`
error_rate == 5%
           ^
"#);
    insta::assert_snapshot!(wrong("error_rate > baseline or response_time > 1s"), @r#"
column 14: the condition names several signals; write `baseline(error_rate)` or `baseline(response_time)`
error_rate > baseline or response_time > 1s
             ^
"#);
    insta::assert_snapshot!(wrong("1 > baseline"), @r#"
column 5: the condition names no signal whose baseline this could be; write `baseline(signal)`
1 > baseline
    ^
"#);
    insta::assert_snapshot!(wrong("request_rate > 100"), @r#"
column 16: `request_rate` is a rate per second, `100` is a plain number; a rate is compared with one such as `120/s`
request_rate > 100
               ^
"#);
}

#[test]
fn mistakes_of_form_show_the_place_too() {
    insta::assert_snapshot!(wrong("1% < error_rate < 5%"), @r#"
column 17: comparisons do not chain; write `a < b and b < c`
1% < error_rate < 5%
                ^
"#);
    insta::assert_snapshot!(wrong("error_rate && 5%"), @r#"
column 12: `&&` is not known here; write `and`
error_rate && 5%
           ^
"#);
    insta::assert_snapshot!(wrong("(error_rate > 5%"), @r#"
column 1: this `(` is never closed
(error_rate > 5%
^
"#);
    insta::assert_snapshot!(wrong("error_rate > 5parsecs"), @r#"
column 15: `parsecs` is not a unit; known are %, ns, us, ms, s, m, h, d, B, KB, MB, GB, KiB, MiB, GiB, TiB and /s
error_rate > 5parsecs
              ^
"#);
    insta::assert_snapshot!(wrong("request_rate < 7200/h"), @r#"
column 16: a rate is written per second: `7200/h` is `2/s`
request_rate < 7200/h
               ^
"#);
    insta::assert_snapshot!(wrong("error_rate > ."), @r#"
column 14: this is not a number that can be compared
error_rate > .
             ^
"#);
    insta::assert_snapshot!(wrong("error_rate > 5% or worse(eror_rate)"), @r#"
column 26: there is no signal `eror_rate`; did you mean `error_rate`?
error_rate > 5% or worse(eror_rate)
                         ^
"#);
    insta::assert_snapshot!(wrong("worse(queue_depth)"), @r#"
column 7: `worse` weighs counts, and `queue_depth` has none; compare it with its baseline, as in `change(queue_depth) > 20%`
worse(queue_depth)
      ^
"#);
    insta::assert_snapshot!(wrong("worse(error_rate > 5%)"), @r#"
column 1: `worse` takes the name of one signal, as in `worse(error_rate)`
worse(error_rate > 5%)
^
"#);
    insta::assert_snapshot!(wrong("worse(error_rate) > 3"), @r#"
column 1: this is yes or no; a number is needed here
worse(error_rate) > 3
^
"#);
    insta::assert_snapshot!(wrong("worst(error_rate)"), @r#"
column 1: there is no function `worst`; did you mean `worse`?
worst(error_rate)
^
"#);
    insta::assert_snapshot!(wrong("response_time * memory > 1s"), @r#"
column 15: `response_time` is a time and `memory` is an amount of bytes: `*` makes nothing of them that could be compared
response_time * memory > 1s
              ^
"#);
    insta::assert_snapshot!(wrong("error_rate"), @r#"
column 1: this is a number, not yes or no; compare it, as in `error_rate > 5%`
error_rate
^
"#);
    insta::assert_snapshot!(wrong(""), @r#"
column 1: the condition ends here; expected a signal, a number or `(`

^
"#);
}

#[test]
fn what_nothing_measured_decides_is_a_mistake() {
    insta::assert_snapshot!(wrong("success_rate < 70"), @r#"
column 16: `success_rate` lies between 0 % and 100 %, `70` is 7000 %: nothing measured decides this; did you mean `70%`?
success_rate < 70
               ^
"#);
    insta::assert_snapshot!(wrong("error_rate > 500%"), @r#"
column 14: `error_rate` lies between 0 % and 100 %, `500%` is 500 %: nothing measured decides this
error_rate > 500%
             ^
"#);
    insta::assert_snapshot!(wrong("error_rate > baseline + 2"), @r#"
column 25: `error_rate` lies between 0 % and 100 %, `baseline + 2` lies between 200 % and 300 %: nothing measured decides this; did you mean `2%`?
error_rate > baseline + 2
                        ^
"#);
    insta::assert_snapshot!(wrong("change(request_rate) < -100%"), @r#"
column 24: `change(request_rate)` is at least -100 %, `-100%` is -100 %: nothing measured decides this
change(request_rate) < -100%
                       ^
"#);
    insta::assert_snapshot!(wrong("not coverage > 5"), @r#"
column 16: `coverage` lies between 0 % and 100 %, `5` is 500 %: nothing measured decides this; did you mean `5%`?
not coverage > 5
               ^
"#);
    for (condition, hint) in [
        ("error_rate > 5", "did you mean `5%`?"),
        ("5 < error_rate", "did you mean `5%`?"),
        ("error_rate >= 101", "lies between 0 % and 100 %, `101` is 10100 %"),
        ("success_rate < -5%", "`-5%` is -5 %"),
        ("not success_rate < 70", "did you mean `70%`?"),
        ("error_rate > 100%", "nothing measured decides this"),
        ("error_rate >= 0", "nothing measured decides this"),
        ("error_rate > 5% or success_rate < 70", "did you mean `70%`?"),
        ("max(error_rate, 5) > 10%", "did you mean `5%`?"),
        ("error_rate / 2 > 60%", "lies between 0 % and 50 %"),
        ("error_rate > success_rate + 2", "did you mean `2%`?"),
        ("change(queue_depth) < -150%", "is at least -100 %"),
        ("change(request_rate) < -10", "did you mean `10%`?"),
        ("abs(change(request_rate)) < -2%", "is at least 0 %"),
        ("coverage < 70", "did you mean `70%`?"),
        ("coverage < baseline - 5", "did you mean `5%`?"),
        ("request_rate < 0/s", "is at least 0/s"),
        ("response_time < 0ms", "is at least 0 µs"),
    ] {
        let told = wrong(condition);
        assert!(
            told.contains(hint) && told.starts_with("column "),
            "{condition}: {told}"
        );
    }
}

#[test]
fn what_something_measured_decides_is_none() {
    for fine in [
        "error_rate * 100 > 5",
        "error_rate > 0",
        "error_rate > baseline * 3",
        "error_rate > baseline + 0.05",
        "error_rate / baseline > 3",
        "success_rate >= 100%",
        "change(request_rate) <= -100%",
        "change(error_rate) > 50",
        "abs(change(request_rate)) > 200%",
        "coverage > 150%",
        "coverage > max(150%, baseline * 2)",
        "coverage * 100 < 70",
        "queue_depth > -1",
        "queue_depth < 0",
        "response_time - baseline < 0s",
        "error_rate * request_rate > 44/s",
    ] {
        let compiled = Condition::compile(fine, &signals());
        assert!(compiled.is_ok(), "{fine}: {compiled:?}");
    }
}

#[test]
fn nesting_is_bounded() {
    assert!(wrong(&"(".repeat(4000)).contains("nested deeper"));
    assert!(wrong(&"not ".repeat(1000)).contains("nested deeper"));
    assert!(wrong(&"-".repeat(4000)).contains("nested deeper"));
    assert!(wrong(&"a".repeat(5000)).contains("at most 4096 bytes"));
    let long = format!("error_rate{} > 5%", " + error_rate".repeat(300));
    assert_eq!(truth(&long, &[("error_rate", 0.1)], &[]), Truth::True);
}

fn tree() -> impl Strategy<Value = Syntax> {
    let at = |node| Syntax { at: Place(0), node };
    let number = (0.0..1e12_f64, proptest::sample::select(Suffix::ALL.to_vec()));
    let leaf = prop_oneof![
        number.prop_map(move |(value, suffix)| at(Node::Number(value, suffix))),
        "[a-z_][a-z0-9_]{0,8}x".prop_map(move |name| at(Node::Name(name))),
        Just(at(Node::Name("baseline".into()))),
    ];
    leaf.prop_recursive(5, 40, 3, move |inner| {
        let operator = proptest::sample::select(
            [
                Operator::Or,
                Operator::And,
                Operator::Less,
                Operator::LessOrEqual,
                Operator::Greater,
                Operator::GreaterOrEqual,
                Operator::Equal,
                Operator::NotEqual,
                Operator::Plus,
                Operator::Minus,
                Operator::Times,
                Operator::Divide,
            ]
            .to_vec(),
        );
        let function = proptest::sample::select(Function::ALL.to_vec());
        prop_oneof![
            (operator, inner.clone(), inner.clone()).prop_map(move |(o, l, r)| at(Node::Two(o, l.into(), r.into()))),
            inner.clone().prop_map(move |i| at(Node::Not(i.into()))),
            inner.clone().prop_map(move |i| at(Node::Negative(i.into()))),
            (function, proptest::collection::vec(inner, 1..4)).prop_map(move |(f, list)| at(Node::Call(f, list))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_the_same(tree in tree()) {
        let printed = tree.to_string();
        prop_assert_eq!(parse(&printed), Ok(tree), "{}", printed);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,60}") {
        let _ = Condition::compile(&text, &signals());
    }

    #[test]
    fn no_text_of_the_language_panics(parts in proptest::collection::vec(proptest::sample::select(vec![
        "error_rate", "response_time", "baseline", "change", "(", ")", "<", ">", "and", "or", "not", "5%", "1.5", "/s", "µs", "-", "*",
        "/", ",", " ", "\n", "%", "e", ".", "1e9", "worse", "worse(", "worse(error_rate)", "低下", "min", "64MiB", "==",
    ]), 0..40)) {
        let text = parts.concat();
        if let Err(wrong) = Condition::compile(&text, &signals()) {
            prop_assert!(wrong.column >= 1);
        }
    }
}
