//! PromQL tokens to an expression: the part of the language that modosu's queries are made of.
//! Everything else is a parse error, as an unknown function is on the real server. Pure.

use super::{
    ast::{Aggregation, Expr, Function, Matcher, Operator, Selector, Type},
    lex::{Token, tokens},
    pattern::Pattern,
};

/// The expression, or the message of a `bad_data` answer.
pub(crate) fn parsed(query: &str) -> Result<Expr, String> {
    let placed = |(at, message): (usize, String)| format!("1:{}: parse error: {message}", at + 1);
    let tokens = tokens(query).map_err(placed)?;
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        end: query.len(),
    };
    let expression = parser.expression(0).map_err(placed)?;
    match parser.tokens.get(parser.at) {
        Some((at, token)) => Err(placed((*at, format!("unexpected {}", shown(token))))),
        None => Ok(expression),
    }
}

type Parsed<T> = Result<T, (usize, String)>;

struct Parser<'a> {
    tokens: &'a [(usize, Token)],
    at: usize,
    end: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn place(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |(at, _)| *at)
    }

    fn fail<T>(&self, wanted: &str) -> Parsed<T> {
        let found = self.peek().map_or_else(|| "end of input".into(), shown);
        Err((self.place(), format!("unexpected {found}, expected {wanted}")))
    }

    fn takes(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(found)) if *found == sign);
        self.at += usize::from(found);
        found
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let same = |found: &str| found.eq_ignore_ascii_case(word);
        let found = matches!(self.peek(), Some(Token::Word(found)) if same(found));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Parsed<()> {
        if self.takes(sign) {
            Ok(())
        } else {
            self.fail(&format!("{sign:?}"))
        }
    }

    fn expression(&mut self, least: u8) -> Parsed<Expr> {
        let mut left = self.unary()?;
        while let Some(operator) = self.operator().filter(|one| one.precedence() > least) {
            let place = self.place();
            self.at += 1;
            if self.takes_word("bool") {
                return Err((place, "the bool modifier is not part of this world".into()));
            }
            let on = if self.takes_word("on") {
                Some(self.names()?)
            } else {
                None
            };
            let many = on.is_some() && self.takes_word("group_left");
            if many && !self.names()?.is_empty() {
                return Err((place, "labels of group_left are not part of this world".into()));
            }
            let right = self.expression(operator.precedence())?;
            refuse_operands(operator, on.is_some(), &left, &right).map_err(|why| (place, why))?;
            let (boxed, right) = (Box::new(left), Box::new(right));
            left = Expr::Binary {
                left: boxed,
                operator,
                on,
                many,
                right,
            };
        }
        Ok(left)
    }

    fn operator(&self) -> Option<Operator> {
        let found = match self.peek()? {
            Token::Sign(sign) => *sign,
            Token::Word(word) => word.as_str(),
            Token::Number(_) | Token::Duration(_) | Token::Text(_) => return None,
        };
        Some(match found.to_ascii_lowercase().as_str() {
            "or" => Operator::Or,
            "and" => Operator::And,
            "unless" => Operator::Unless,
            "+" => Operator::Add,
            "-" => Operator::Subtract,
            "*" => Operator::Multiply,
            "/" => Operator::Divide,
            "==" => Operator::Equal,
            "!=" => Operator::NotEqual,
            ">" => Operator::Greater,
            "<" => Operator::Less,
            ">=" => Operator::GreaterEqual,
            "<=" => Operator::LessEqual,
            _ => return None,
        })
    }

    fn unary(&mut self) -> Parsed<Expr> {
        if self.takes("-") {
            return Ok(Expr::Negative(Box::new(self.unary()?)));
        }
        if self.takes("+") {
            return self.unary();
        }
        self.primary()
    }

    fn primary(&mut self) -> Parsed<Expr> {
        if self.takes("(") {
            let inner = self.expression(0)?;
            self.expect(")")?;
            return Ok(inner);
        }
        match self.peek() {
            Some(Token::Number(number)) => {
                self.at += 1;
                Ok(Expr::Number(*number))
            }
            Some(Token::Sign("{")) => self.selector(String::new()),
            Some(Token::Word(word)) => {
                self.at += 1;
                self.named(word)
            }
            _ => self.fail("an expression"),
        }
    }

    fn named(&mut self, word: &str) -> Parsed<Expr> {
        let aggregation = match word.to_ascii_lowercase().as_str() {
            "sum" => Some(Aggregation::Sum),
            "max" => Some(Aggregation::Max),
            "min" => Some(Aggregation::Min),
            "avg" => Some(Aggregation::Avg),
            "count" => Some(Aggregation::Count),
            _ => None,
        };
        if let Some(with) = aggregation {
            return self.aggregate(with);
        }
        if word == "label_replace" {
            return self.labelled();
        }
        if matches!(self.peek(), Some(Token::Sign("("))) {
            return self.call(word);
        }
        self.selector(word.to_owned())
    }

    fn aggregate(&mut self, with: Aggregation) -> Parsed<Expr> {
        let mut by = if self.takes_word("by") {
            Some(self.names()?)
        } else {
            None
        };
        self.expect("(")?;
        let place = self.place();
        let of = Box::new(self.expression(0)?);
        self.expect(")")?;
        if of.kind() != Type::Instant {
            let got = of.kind().title();
            let message = format!("expected type instant vector in aggregation expression, got {got}");
            return Err((place, message));
        }
        if by.is_none() && self.takes_word("by") {
            by = Some(self.names()?);
        }
        Ok(Expr::Aggregate {
            by: by.unwrap_or_default(),
            with,
            of,
        })
    }

    fn call(&mut self, name: &str) -> Parsed<Expr> {
        let place = self.tokens.get(self.at.saturating_sub(1)).map_or(0, |(at, _)| *at);
        let Some((function, types)) = Function::named(name) else {
            return Err((place, format!("unknown function with name {name:?}")));
        };
        self.expect("(")?;
        let mut arguments = Vec::new();
        while !self.takes(")") {
            if !arguments.is_empty() {
                self.expect(",")?;
            }
            arguments.push(self.expression(0)?);
        }
        if arguments.len() != types.len() {
            let (wanted, got) = (types.len(), arguments.len());
            let message = format!("expected {wanted} argument(s) in call to {name:?}, got {got}");
            return Err((place, message));
        }
        for (argument, wanted) in arguments.iter().zip(types) {
            if argument.kind() != *wanted {
                let (wanted, got) = (wanted.title(), argument.kind().title());
                let message = format!("expected type {wanted} in call to function {name:?}, got {got}");
                return Err((place, message));
            }
        }
        Ok(Expr::Call(function, arguments))
    }

    /// The one use of `label_replace` that is known: to give every element one more label.
    fn labelled(&mut self) -> Parsed<Expr> {
        self.expect("(")?;
        let of = Box::new(self.expression(0)?);
        let mut texts = Vec::new();
        while self.takes(",") {
            let Some(Token::Text(text)) = self.peek() else {
                return self.fail("a string");
            };
            texts.push(text.clone());
            self.at += 1;
        }
        self.expect(")")?;
        match texts.as_slice() {
            [label, value, source, pattern] if source.is_empty() && pattern.is_empty() => Ok(Expr::Labelled {
                of,
                label: label.clone(),
                value: value.clone(),
            }),
            _ => self.fail("one label for all elements"),
        }
    }

    fn selector(&mut self, name: String) -> Parsed<Expr> {
        let mut selector = Selector {
            name,
            matchers: Vec::new(),
            range: None,
            back: 0,
        };
        if self.takes("{") {
            while !self.takes("}") {
                let matcher = self.matcher()?;
                selector.matchers.push(matcher);
                if !self.takes(",") && !matches!(self.peek(), Some(Token::Sign("}"))) {
                    return self.fail("\",\" or \"}\"");
                }
            }
        }
        if self.takes("[") {
            selector.range = Some(self.duration()?);
            self.expect("]")?;
        }
        if self.takes_word("offset") {
            selector.back = if self.takes("-") {
                -self.duration()?
            } else {
                self.duration()?
            };
        }
        Ok(Expr::Selector(selector))
    }

    fn matcher(&mut self) -> Parsed<(String, Matcher)> {
        let label = self.name()?;
        let place = self.place();
        let sign = match self.peek() {
            Some(Token::Sign(sign @ ("=" | "!=" | "=~" | "!~"))) => *sign,
            _ => return self.fail("a label matching operator"),
        };
        self.at += 1;
        let Some(Token::Text(value)) = self.peek() else {
            return self.fail("a string");
        };
        self.at += 1;
        let pattern = || Pattern::anchored(value).map_err(|message| (place, message));
        let matcher = match sign {
            "=" => Matcher::Equal(value.clone()),
            "!=" => Matcher::NotEqual(value.clone()),
            "=~" => Matcher::Like(pattern()?),
            _ => Matcher::Unlike(pattern()?),
        };
        Ok((label, matcher))
    }

    fn duration(&mut self) -> Parsed<i64> {
        let Some(Token::Duration(length)) = self.peek() else {
            return self.fail("a duration");
        };
        self.at += 1;
        Ok(*length)
    }

    fn name(&mut self) -> Parsed<String> {
        let Some(Token::Word(word)) = self.peek() else {
            return self.fail("a label name");
        };
        self.at += 1;
        Ok(word.clone())
    }

    fn names(&mut self) -> Parsed<Vec<String>> {
        self.expect("(")?;
        let mut names = Vec::new();
        while !self.takes(")") {
            if !names.is_empty() {
                self.expect(",")?;
            }
            names.push(self.name()?);
        }
        Ok(names)
    }
}

fn refuse_operands(operator: Operator, on: bool, left: &Expr, right: &Expr) -> Result<(), String> {
    let kinds = [left.kind(), right.kind()];
    if kinds.contains(&Type::Range) {
        return Err("binary expression must contain only scalar and instant vector types".into());
    }
    let scalars = kinds.iter().filter(|kind| **kind == Type::Scalar).count();
    if operator.is_set() && scalars > 0 {
        return Err("set operator not allowed in binary scalar expression".into());
    }
    if on && scalars > 0 {
        return Err("vector matching only allowed between instant vectors".into());
    }
    if scalars == 2 && operator.precedence() == 3 {
        return Err("comparisons between scalars must use BOOL modifier".into());
    }
    Ok(())
}

fn shown(token: &Token) -> String {
    match token {
        Token::Word(word) => format!("identifier {word:?}"),
        Token::Number(number) => format!("number \"{number}\""),
        Token::Duration(length) => format!("duration \"{length}ms\""),
        Token::Text(text) => format!("string {text:?}"),
        Token::Sign(sign) => format!("{sign:?}"),
    }
}
