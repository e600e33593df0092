//! The grammar of label selectors: a scanner for words and symbols, and a parser over its tokens.

use super::{LabelSelectorError, Operator, Requirement};
use crate::field::{FieldError, Path};
use crate::validation::is_qualified_name;
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A word; `in` and `notin` are words too, told apart where an operator is expected.
    Word(&'a str),
    /// One of `( ) , ! = == != > <`.
    Symbol(&'a str),
    End,
}

impl<'a> Token<'a> {
    /// The text that error messages show.
    fn literal(self) -> String {
        match self {
            Self::Word(text) | Self::Symbol(text) => text.to_owned(),
            Self::End => String::new(),
        }
    }

    fn word(self) -> Option<&'a str> {
        if let Self::Word(text) = self { Some(text) } else { None }
    }
}

fn is_symbol(b: u8) -> bool {
    b"=!(),><".contains(&b)
}

fn is_space(b: u8) -> bool {
    b" \t\r\n".contains(&b)
}

/// Upstream's scanner stops at a NUL byte as if the text ended there; this one does too.
fn scan(text: &str) -> Vec<Token<'_>> {
    let text = text.split('\0').next().unwrap_or_default();
    let bytes = text.as_bytes();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        if is_space(bytes[at]) {
            at += 1;
        } else if is_symbol(bytes[at]) {
            // Every symbol is a token by itself, and two tokens have two symbols.
            let end = if bytes[at..].starts_with(b"==") || bytes[at..].starts_with(b"!=") { at + 2 } else { at + 1 };
            tokens.push(Token::Symbol(&text[at..end]));
            at = end;
        } else {
            let end = at + bytes[at..].iter().take_while(|b| !is_symbol(**b) && !is_space(**b)).count();
            tokens.push(Token::Word(&text[at..end]));
            at = end;
        }
    }
    tokens.push(Token::End);
    tokens
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
}

type Parsed<T> = Result<T, String>;

/// All requirements of a selector, in the order given.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, LabelSelectorError> {
    let mut parser = Parser { tokens: scan(text), at: 0 };
    let mut requirements = Vec::new();
    loop {
        match parser.peek() {
            Token::End => return Ok(requirements),
            Token::Word(_) | Token::Symbol("!") => {
                requirements.push(parser.requirement().map_err(LabelSelectorError::Requirement)?);
            }
            other @ Token::Symbol(_) => {
                let found = other.literal();
                return Err(LabelSelectorError::Syntax(format!(
                    "found '{found}', expected: !, identifier, or 'end of string'"
                )));
            }
        }
        match parser.next() {
            Token::End => return Ok(requirements),
            Token::Symbol(",") => {
                let next = parser.peek();
                if !matches!(next, Token::Word(_) | Token::Symbol("!")) {
                    let found = next.literal();
                    return Err(LabelSelectorError::Syntax(format!("found '{found}', expected: identifier after ','")));
                }
            }
            other => {
                let found = other.literal();
                return Err(LabelSelectorError::Syntax(format!("found '{found}', expected: ',' or 'end of string'")));
            }
        }
    }
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens.get(self.at).copied().unwrap_or(Token::End)
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn requirement(&mut self) -> Parsed<Requirement> {
        let absent = self.peek() == Token::Symbol("!");
        if absent {
            self.next();
        }
        let token = self.next();
        let key = token.word().ok_or_else(|| format!("found '{}', expected: identifier", token.literal()))?;
        let invalid = is_qualified_name(key);
        if !invalid.is_empty() {
            return Err(FieldError::invalid(&Path::root(), key, invalid.join("; ")).to_string());
        }
        let ends = matches!(self.peek(), Token::End | Token::Symbol(","));
        let (operator, values) = if absent {
            (Operator::DoesNotExist, BTreeSet::new())
        } else if ends {
            (Operator::Exists, BTreeSet::new())
        } else {
            let operator = self.operator()?;
            let values = match operator {
                Operator::In | Operator::NotIn => self.values()?,
                _ => self.exact_value()?,
            };
            (operator, values)
        };
        let values = values.into_iter().map(str::to_owned).collect();
        Requirement::new(key, operator, values).map_err(|e| e.to_string())
    }

    fn operator(&mut self) -> Parsed<Operator> {
        let token = self.next();
        Ok(match token {
            Token::Word("in") => Operator::In,
            Token::Word("notin") => Operator::NotIn,
            Token::Symbol("=") => Operator::Equals,
            Token::Symbol("==") => Operator::DoubleEquals,
            Token::Symbol("!=") => Operator::NotEquals,
            Token::Symbol(">") => Operator::GreaterThan,
            Token::Symbol("<") => Operator::LessThan,
            _ => {
                let found = token.literal();
                return Err(format!("found '{found}', expected: in, notin, =, ==, !=, gt, lt"));
            }
        })
    }

    /// `(a,b,,)`: empty values count, doubled ones do not.
    fn values(&mut self) -> Parsed<BTreeSet<&'a str>> {
        let open = self.next();
        if open != Token::Symbol("(") {
            return Err(format!("found '{}' expected: '('", open.literal()));
        }
        let first = self.peek();
        match first {
            Token::Symbol(")") => {
                self.next();
                Ok(BTreeSet::from([""]))
            }
            Token::Word(_) | Token::Symbol(",") => {
                let values = self.list()?;
                let close = self.next();
                if close != Token::Symbol(")") {
                    return Err(format!("found '{}', expected: ')'", first.literal()));
                }
                Ok(values)
            }
            _ => Err(format!("found '{}', expected: ',', ')' or identifier", first.literal())),
        }
    }

    fn list(&mut self) -> Parsed<BTreeSet<&'a str>> {
        let mut values = BTreeSet::new();
        loop {
            let token = self.next();
            match token {
                Token::Word(word) => {
                    values.insert(word);
                    match self.peek() {
                        Token::Symbol(",") => {}
                        Token::Symbol(")") => return Ok(values),
                        other => return Err(format!("found '{}', expected: ',' or ')'", other.literal())),
                    }
                }
                Token::Symbol(",") => {
                    if values.is_empty() {
                        values.insert("");
                    }
                    match self.peek() {
                        Token::Symbol(")") => {
                            values.insert("");
                            return Ok(values);
                        }
                        Token::Symbol(",") => {
                            values.insert("");
                        }
                        _ => {}
                    }
                }
                other => return Err(format!("found '{}', expected: ',', or identifier", other.literal())),
            }
        }
    }

    fn exact_value(&mut self) -> Parsed<BTreeSet<&'a str>> {
        match self.peek() {
            Token::End | Token::Symbol(",") => Ok(BTreeSet::from([""])),
            Token::Word(word) => {
                self.next();
                Ok(BTreeSet::from([word]))
            }
            other @ Token::Symbol(_) => Err(format!("found '{}', expected: identifier", other.literal())),
        }
    }
}
