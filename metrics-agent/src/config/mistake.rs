//! What is wrong with a configuration file, and where.

use std::fmt;

/// A position in the file, counted from 1; line 0 when the position is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where its value stands.
    pub place: Place,
    /// The field, as in `pools[1].endpoints[3].address`; empty for the document as a whole.
    pub path: String,
    /// What is wrong, what is allowed and what was found.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.line > 0 {
            write!(formatter, "{}:{}: ", self.place.line, self.place.column)?;
        }
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        formatter.write_str(&self.message)
    }
}

/// All mistakes of one file, in the order of the file. As an error it prints one line a mistake:
/// `agent.yaml:7:5: pools[0].name: ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    /// The file as the operator named it.
    pub file: String,
    /// At least one.
    pub list: Vec<Mistake>,
}

impl Mistakes {
    /// One mistake about the file as a whole.
    #[must_use]
    pub fn whole_file(file: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            list: vec![Mistake {
                place: Place::default(),
                path: String::new(),
                message: message.into(),
            }],
        }
    }

    /// One line for each mistake, with the file's name in front.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.list.iter().map(|mistake| {
            let separator = if mistake.place.line > 0 { ":" } else { ": " };
            format!("{}{separator}{mistake}", self.file)
        })
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            formatter.write_str(&line)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
