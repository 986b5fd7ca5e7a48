//! How many bytes a text of so many tokens has.

use picker::Entropy;

use super::BYTES_PER_TOKEN;

/// Bytes of a prompt of so many tokens: four a token on average, a quarter more or less from prompt
/// to prompt, because texts differ.
#[must_use]
pub fn prompt_bytes(tokens: u32, entropy: &mut dyn Entropy) -> u64 {
    let noise = 0.75 + 0.5 * entropy.unit();
    (f64::from(tokens) * f64::from(BYTES_PER_TOKEN) * noise).round() as u64
}
