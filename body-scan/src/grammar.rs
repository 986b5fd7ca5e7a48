//! Numbers and literals as Python's `json` reads them, byte by byte.

/// CPython refuses to convert longer integers (`sys.get_int_max_str_digits`, since 3.11); older
/// ones take them, so that the engine's reading is unknown.
const MAX_INTEGER_DIGITS: u16 = 4_300;

/// How far a number has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberPart {
    Sign,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

/// A number that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    part: NumberPart,
    integer_digits: u16,
}

impl Number {
    /// The number that begins with `byte`.
    pub(super) const fn begin(byte: u8) -> Option<Self> {
        let part = match byte {
            b'-' => NumberPart::Sign,
            b'0' => NumberPart::Zero,
            b'1'..=b'9' => NumberPart::Integer,
            _ => return None,
        };
        Some(Self {
            part,
            integer_digits: 1,
        })
    }

    /// Reads one more byte; false when it does not continue the number.
    #[inline]
    pub(super) fn takes(&mut self, byte: u8) -> bool {
        use NumberPart::{
            Exponent, ExponentDigits, ExponentSign, Fraction, Integer, Point, Sign, Zero,
        };
        self.part = match (self.part, byte) {
            (Integer, b'0'..=b'9') => {
                self.integer_digits = self.integer_digits.saturating_add(1);
                Integer
            }
            (Sign, b'0') => Zero,
            (Sign, b'1'..=b'9') => Integer,
            (Zero | Integer, b'.') => Point,
            (Zero | Integer | Fraction, b'e' | b'E') => Exponent,
            (Point | Fraction, b'0'..=b'9') => Fraction,
            (Exponent, b'+' | b'-') => ExponentSign,
            (Exponent | ExponentSign | ExponentDigits, b'0'..=b'9') => ExponentDigits,
            _ => return false,
        };
        true
    }

    /// Whether only a minus was read, so that `-Infinity` may follow.
    pub(super) fn is_sign(&self) -> bool {
        self.part == NumberPart::Sign
    }

    /// Whether the number may end here.
    pub(super) const fn is_complete(&self) -> bool {
        matches!(
            self.part,
            NumberPart::Zero
                | NumberPart::Integer
                | NumberPart::Fraction
                | NumberPart::ExponentDigits
        ) && self.integer_digits <= MAX_INTEGER_DIGITS
    }
}

/// Whole numbers at the beginning of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct IntegerRun {
    /// Their length, each with the comma behind it.
    pub(super) len: usize,
    /// How many there are.
    pub(super) count: usize,
}

/// The numbers of one to 16 digits that are directly followed by a comma, up to the first that is
/// not, or that needs a second look because it begins with a zero or a minus.
pub(super) fn integer_run(bytes: &[u8]) -> IntegerRun {
    let mut run = IntegerRun::default();
    let mut digits = 0;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'1'..=b'9' => digits += 1,
            b'0' if digits > 0 => digits += 1,
            b',' if digits > 0 && digits <= 16 => {
                digits = 0;
                run.len = at + 1;
                run.count += 1;
            }
            _ => break,
        }
    }
    run
}

/// A word that stands for a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Literal {
    Null,
    True,
    False,
    /// Python's own addition, as are the two below.
    NotANumber,
    Infinity,
    NegativeInfinity,
}

impl Literal {
    /// The literal that begins with `byte`; `-Infinity` begins like a number.
    pub(super) const fn begin(byte: u8) -> Option<Self> {
        Some(match byte {
            b'n' => Self::Null,
            b't' => Self::True,
            b'f' => Self::False,
            b'N' => Self::NotANumber,
            b'I' => Self::Infinity,
            _ => return None,
        })
    }

    /// Its spelling.
    pub(super) const fn word(self) -> &'static [u8] {
        match self {
            Self::Null => b"null",
            Self::True => b"true",
            Self::False => b"false",
            Self::NotANumber => b"NaN",
            Self::Infinity => b"Infinity",
            Self::NegativeInfinity => b"-Infinity",
        }
    }
}
