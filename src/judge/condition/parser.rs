//! Pure. Words into a tree, by binding strength (a Pratt parser).

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{
    lexer::{Token, Word, words},
    mistake::{ConditionMistake, suggestion},
    syntax::{Function, NOT, Node, Operator, Place, SIGN, Syntax},
};

/// Deeper nesting than this is refused: nobody could read it, and the stack is finite.
const DEEPEST: u8 = 40;
/// A longer text is refused.
const LONGEST: usize = 4096;

/// The tree of a condition's text.
pub fn parse(text: &str) -> Result<Syntax, ConditionMistake> {
    if text.len() > LONGEST {
        return Err(ConditionMistake::new(
            "",
            0,
            format!("a condition has at most {LONGEST} bytes, this one has {}", text.len()),
        ));
    }
    let tokens = words(text)?;
    let mut parser = Parser { text, tokens, next: 0 };
    let tree = parser.expression(0, DEEPEST)?;
    match parser.peek() {
        Token { word: Word::End, .. } => Ok(tree),
        Token { at, word: Word::Close } => Err(parser.mistake(at, "this `)` closes nothing")),
        Token { at, .. } => Err(parser.mistake(
            at,
            "an operator is missing before this; expected `and`, `or`, a comparison or the end",
        )),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
}

impl Parser<'_> {
    fn mistake(&self, at: usize, message: impl Into<String>) -> ConditionMistake {
        ConditionMistake::new(self.text, at, message)
    }

    fn peek(&self) -> Token {
        self.tokens.get(self.next).cloned().unwrap_or(Token {
            at: self.text.len(),
            word: Word::End,
        })
    }

    fn take(&mut self) -> Token {
        let token = self.peek();
        self.next += 1;
        token
    }

    /// Everything that binds more strongly than `least`.
    fn expression(&mut self, least: u8, depth: u8) -> Result<Syntax, ConditionMistake> {
        let Some(deeper) = depth.checked_sub(1) else {
            return Err(self.mistake(self.peek().at, format!("nested deeper than {DEEPEST} levels")));
        };
        let mut left = self.first(deeper)?;
        while let Token {
            at,
            word: Word::Operator(operator),
        } = self.peek()
        {
            if operator.strength() <= least {
                break;
            }
            self.next += 1;
            let right = self.expression(operator.strength(), deeper)?;
            if let Token {
                at,
                word: Word::Operator(again),
            } = self.peek()
                && operator.compares()
                && again.compares()
            {
                return Err(self.mistake(at, "comparisons do not chain; write `a < b and b < c`"));
            }
            left = Syntax {
                at: Place(at),
                node: Node::Two(operator, Box::new(left), Box::new(right)),
            };
        }
        Ok(left)
    }

    /// A number, a name, a call, a group, or one of these after `not` or a sign.
    fn first(&mut self, depth: u8) -> Result<Syntax, ConditionMistake> {
        let Token { at, word } = self.take();
        let node = match word {
            Word::Number(value, suffix) => Node::Number(value, suffix),
            Word::Name(name) if self.peek().word == Word::Open => self.call(at, &name, depth)?,
            Word::Name(name) => Node::Name(name),
            Word::Not => Node::Not(Box::new(self.expression(NOT - 1, depth)?)),
            Word::Operator(Operator::Minus) => Node::Negative(Box::new(self.expression(SIGN - 1, depth)?)),
            Word::Open => {
                let inner = self.expression(0, depth)?;
                return self.close(at).map(|()| inner);
            }
            Word::End => return Err(self.mistake(at, "the condition ends here; expected a signal, a number or `(`")),
            Word::Operator(operator) => {
                return Err(self.mistake(
                    at,
                    format!("expected a signal, a number or `(` before `{}`", operator.text()),
                ));
            }
            Word::Close | Word::Comma => return Err(self.mistake(at, "expected a signal, a number or `(`")),
        };
        Ok(Syntax { at: Place(at), node })
    }

    fn close(&mut self, opened: usize) -> Result<(), ConditionMistake> {
        match self.take() {
            Token { word: Word::Close, .. } => Ok(()),
            Token { word: Word::End, .. } => Err(self.mistake(opened, "this `(` is never closed")),
            Token { at, .. } => Err(self.mistake(at, "expected `)` or an operator")),
        }
    }

    fn call(&mut self, at: usize, name: &str, depth: u8) -> Result<Node, ConditionMistake> {
        let Some(function) = Function::ALL.into_iter().find(|f| f.text() == name) else {
            let known = Function::ALL.iter().map(|f| f.text());
            return Err(self.mistake(at, format!("there is no function `{name}`{}", suggestion(name, known))));
        };
        let opened = self.take().at;
        let mut arguments = vec![self.expression(0, depth)?];
        while self.peek().word == Word::Comma {
            self.next += 1;
            arguments.push(self.expression(0, depth)?);
        }
        self.close(opened)?;
        Ok(Node::Call(function, arguments))
    }
}
