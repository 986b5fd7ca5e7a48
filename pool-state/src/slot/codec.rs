//! Frame, cursor and the pieces that several layouts share. No read can panic, and no length that
//! is read makes anything larger than the value itself be allocated.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use picker::{EndpointId, InFlight};
use xxhash_rust::xxh64::xxh64;

use super::SlotError;

const MAGIC: [u8; 4] = *b"zhps";
pub(super) const LAYOUT: u8 = 2;
pub(super) const HEADER_BYTES: usize = 12;
pub(super) const CHECKSUM_BYTES: usize = 8;
const FRAME_BYTES: usize = HEADER_BYTES + CHECKSUM_BYTES;
/// An endpoint id in any layout: see [`Writer::id`].
pub(super) const ID_BYTES: usize = 28;
/// A load in any layout: see [`Writer::load`].
pub(super) const LOAD_BYTES: usize = 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Pool = 1,
    InFlight = 2,
    Lease = 3,
    Version = 4,
    PrefixLog = 5,
    Policy = 6,
    Board = 7,
    Sequences = 8,
}

/// Writes one framed value.
#[derive(Debug)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new(kind: Kind, content_bytes: usize) -> Self {
        Self::reusing(Vec::new(), kind, content_bytes)
    }

    /// A writer into the memory of `buffer`, whose content is dropped.
    pub(super) fn reusing(mut buffer: Vec<u8>, kind: Kind, content_bytes: usize) -> Self {
        let [m0, m1, m2, m3] = MAGIC;
        buffer.clear();
        buffer.reserve(FRAME_BYTES.saturating_add(content_bytes));
        buffer.extend_from_slice(&[m0, m1, m2, m3, kind as u8, LAYOUT, 0, 0, 0, 0, 0, 0]);
        Self(buffer)
    }

    /// Part of a value's content, without a frame.
    pub(super) fn piece(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// What was written of a [`Writer::piece`].
    pub(super) fn into_piece(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    pub(super) fn f32(&mut self, value: f32) {
        self.u32(value.to_bits());
    }

    /// A count of list elements. Lists that no valid value can hold get a count that no reader
    /// accepts.
    pub(super) fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// A count that became known only after the `content_offset` where it was written.
    pub(super) fn count_at(&mut self, content_offset: usize, count: usize) {
        let at = HEADER_BYTES.saturating_add(content_offset);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if let Some(field) = self.0.get_mut(at..at.saturating_add(4)) {
            field.copy_from_slice(&count.to_le_bytes());
        }
    }

    /// 16 bytes address (IPv4: 4 and 12 zeros), 2 port, 1 family (4 or 6), 1 zero, 8 generation.
    pub(super) fn id(&mut self, id: EndpointId) {
        self.bytes(words_of_id(id).as_flattened());
    }

    /// 4 bytes requests, 4 prefilling, 8 tokens, 8 prefill tokens.
    pub(super) fn load(&mut self, load: InFlight) {
        self.bytes(words_of_load(load).as_flattened());
    }

    /// An id and a load behind it, at once.
    pub(super) fn loaded_id(&mut self, id: EndpointId, load: InFlight) {
        let [a, b, c, d, e, f, g] = words_of_id(id);
        let [h, i, j, k, l, m] = words_of_load(load);
        self.bytes([a, b, c, d, e, f, g, h, i, j, k, l, m].as_flattened());
    }

    /// The finished value: length filled in, checksum appended.
    pub(super) fn seal(mut self) -> Vec<u8> {
        let length = self.0.len().saturating_add(CHECKSUM_BYTES);
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        if let Some(field) = self.0.get_mut(8..HEADER_BYTES) {
            field.copy_from_slice(&length.to_le_bytes());
        }
        let checksum = xxh64(&self.0, u64::from(LAYOUT));
        self.u64(checksum);
        self.0
    }
}

type Word = [u8; 4];

/// Whole words in arrays, so that they are written with one check of the capacity.
const fn words_of_id(id: EndpointId) -> [Word; ID_BYTES / 4] {
    let (words, family) = match id.address.ip() {
        IpAddr::V4(ip) => ([ip.octets(), [0; 4], [0; 4], [0; 4]], 4),
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = ip.octets();
            ([[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]], 6)
        }
    };
    let [a, b, c, d] = words;
    let [low, high] = id.address.port().to_le_bytes();
    let [e, f] = words_of(id.generation);
    [a, b, c, d, [low, high, family, 0], e, f]
}

const fn words_of_load(load: InFlight) -> [Word; LOAD_BYTES / 4] {
    let [c, d] = words_of(load.tokens);
    let [e, f] = words_of(load.prefill_tokens);
    let [a, b] = [load.requests.to_le_bytes(), load.prefilling.to_le_bytes()];
    [a, b, c, d, e, f]
}

const fn words_of(value: u64) -> [Word; 2] {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    [[a, b, c, d], [e, f, g, h]]
}

/// Reads the content of one framed value, front to back.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> Reader<'a> {
    /// The content of `value`, after every check of the frame.
    pub(super) fn open(kind: Kind, value: &'a [u8]) -> Result<Self, SlotError> {
        if value.is_empty() {
            return Err(SlotError::Empty);
        }
        let short = SlotError::Truncated {
            length: value.len(),
            field: "frame",
        };
        let (sealed, checksum) = value.split_last_chunk::<CHECKSUM_BYTES>().ok_or(short)?;
        let (header, content) = sealed.split_first_chunk::<HEADER_BYTES>().ok_or(short)?;
        let [m0, m1, m2, m3, got_kind, got_layout, z0, z1, l0, l1, l2, l3] = *header;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(SlotError::Magic);
        }
        if got_layout != LAYOUT {
            return Err(SlotError::Layout {
                expected: LAYOUT,
                got: got_layout,
            });
        }
        if got_kind != kind as u8 {
            return Err(SlotError::Kind {
                expected: kind as u8,
                got: got_kind,
            });
        }
        let stated = u32::from_le_bytes([l0, l1, l2, l3]);
        if usize::try_from(stated) != Ok(value.len()) {
            return Err(SlotError::Length {
                stated,
                actual: value.len(),
            });
        }
        if xxh64(sealed, u64::from(LAYOUT)) != u64::from_le_bytes(*checksum) {
            return Err(SlotError::Checksum);
        }
        if [z0, z1] != [0, 0] {
            return Err(SlotError::Field {
                field: "frame",
                index: 0,
            });
        }
        Ok(Self {
            rest: content,
            length: value.len(),
        })
    }

    pub(super) fn take(
        &mut self,
        count: usize,
        field: &'static str,
    ) -> Result<&'a [u8], SlotError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(SlotError::Truncated {
                length: self.length,
                field,
            })?;
        self.rest = rest;
        Ok(taken)
    }

    /// A reader of the next `count` bytes alone.
    pub(super) fn part(&mut self, count: usize, field: &'static str) -> Result<Self, SlotError> {
        Ok(Self {
            rest: self.take(count, field)?,
            length: self.length,
        })
    }

    #[inline(always)]
    pub(super) fn array<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<[u8; N], SlotError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(SlotError::Truncated {
                length: self.length,
                field,
            })?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline(always)]
    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, SlotError> {
        Ok(u16::from_le_bytes(self.array(field)?))
    }

    #[inline(always)]
    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, SlotError> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    #[inline(always)]
    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, SlotError> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    #[inline(always)]
    pub(super) fn f32(&mut self, field: &'static str) -> Result<f32, SlotError> {
        Ok(f32::from_bits(self.u32(field)?))
    }

    /// How many elements of at least `element_bytes` follow: at most `limit`, and no more than the
    /// rest of the value can hold, so that a hostile count allocates nothing.
    pub(super) fn count(
        &mut self,
        limit: usize,
        element_bytes: usize,
        field: &'static str,
    ) -> Result<usize, SlotError> {
        let refused = SlotError::Field { field, index: 0 };
        let count = usize::try_from(self.u32(field)?).map_err(|_| refused)?;
        let fits = count
            .checked_mul(element_bytes)
            .is_some_and(|bytes| bytes <= self.rest.len());
        if count <= limit && fits {
            Ok(count)
        } else {
            Err(refused)
        }
    }

    /// An endpoint id as [`Writer::id`] wrote it; `index` is its place for the error.
    pub(super) fn id(&mut self, index: usize) -> Result<EndpointId, SlotError> {
        const FIELD: &str = "endpoint id";
        let octets = self.array::<16>(FIELD)?;
        let port = self.u16(FIELD)?;
        let [family, zero] = self.array(FIELD)?;
        let generation = self.u64(FIELD)?;
        let ip = match (family, u32::try_from(u128::from_le_bytes(octets))) {
            // Bytes that follow the address of 4 are zero.
            (4, Ok(v4)) => Some(IpAddr::V4(Ipv4Addr::from(v4.to_le_bytes()))),
            (6, _) => Some(IpAddr::V6(Ipv6Addr::from(octets))),
            _ => None,
        };
        let ip = ip
            .filter(|_| zero == 0 && port != 0)
            .ok_or(SlotError::Field {
                field: FIELD,
                index,
            })?;
        Ok(EndpointId {
            address: SocketAddr::new(ip, port),
            generation,
        })
    }

    /// A load as [`Writer::load`] wrote it, whatever it says.
    #[inline(always)]
    pub(super) fn load(&mut self, field: &'static str) -> Result<InFlight, SlotError> {
        Ok(InFlight {
            requests: self.u32(field)?,
            prefilling: self.u32(field)?,
            tokens: self.u64(field)?,
            prefill_tokens: self.u64(field)?,
        })
    }

    /// All that was not read yet.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Checks that everything was read.
    pub(super) const fn finish(&self) -> Result<(), SlotError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(SlotError::Trailing(self.rest.len()))
        }
    }
}
