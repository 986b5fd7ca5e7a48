//! How long the answers may be and how many there are.

/// What a number of a request limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// The output of completions, chat and Anthropic messages.
    MaxTokens,
    /// The newer one of chat, which wins over the older one, as in vLLM.
    MaxCompletionTokens,
    /// That of responses.
    MaxOutputTokens,
    /// That of vLLM's token interface, inside `sampling_params`.
    SamplingMaxTokens,
    /// How many answers each prompt gets.
    Choices,
    /// The same inside `sampling_params`.
    SamplingChoices,
}

/// The limits that a request names.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    values: [Option<u64>; 6],
}

impl Limits {
    /// Notes a limit; `None` when what stands there is none.
    #[inline(never)]
    pub(super) fn set(&mut self, limit: Limit, value: Option<u64>) {
        if let Some(known) = self.values.get_mut(limit as usize) {
            *known = value;
        }
    }

    fn get(&self, limit: Limit) -> Option<u64> {
        self.values.get(limit as usize).copied().flatten()
    }

    /// The output limit that counts.
    #[inline(never)]
    pub(super) fn max_tokens(&self) -> Option<u64> {
        self.get(Limit::MaxCompletionTokens)
            .or(self.get(Limit::MaxTokens))
            .or(self.get(Limit::MaxOutputTokens))
            .or(self.get(Limit::SamplingMaxTokens))
    }

    /// How many answers each prompt gets.
    pub(super) fn choices(&self) -> u64 {
        let choices = self
            .get(Limit::Choices)
            .or(self.get(Limit::SamplingChoices));
        choices.unwrap_or(1).max(1)
    }
}
