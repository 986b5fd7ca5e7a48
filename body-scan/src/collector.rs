//! Gathers the facts from the lexer's events.

use super::{
    ModelReading, ModelSpans, ScanConfig,
    canonical::{CanonicalPrompt, Tag},
    frames::{Place, Standing, Tally},
    grammar::Literal,
    lexer::Events,
    limits::{Limit, Limits},
    media::MediaReader,
    member::{Member, NestedKey, PromptKey},
    nesting::Container,
    short_text::ShortText,
    turns::TurnEnds,
};

/// The longest usable model, in characters and in bytes of UTF-8.
const MAX_MODEL_CHARS: usize = 256;
const MAX_MODEL_BYTES: usize = 4 * MAX_MODEL_CHARS;

/// Longer keys and numbers mean nothing here; of longer salts and users the beginning counts.
const MAX_KEY_BYTES: usize = 64;
const MAX_NUMBER_BYTES: usize = 24;
const MAX_SALT_BYTES: usize = 256;
const MAX_USER_BYTES: usize = 256;

/// What a token counts as, in bytes of prompt text: the usual length of one.
pub(super) const BYTES_PER_TOKEN: u64 = 4;

/// Where the text of the present token goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sink {
    Nowhere,
    /// A top-level key.
    Key,
    /// A key inside the options of a stream or of the sampling.
    NestedKey,
    /// A key inside a prompt.
    PromptKey,
    /// A string inside a prompt, whose length counts as text or not.
    PromptText {
        counts: bool,
    },
    PromptNumber,
    /// An image, a sound or a file inside a prompt.
    Media,
    Model,
    CacheSalt,
    User,
    Limit,
}

/// What has been learned so far.
#[derive(Debug, Clone)]
pub(super) struct Collector {
    /// Whether every byte of the document counts.
    to_end: bool,
    sink: Sink,
    key: ShortText,
    member: Member,
    /// Whether the value of a prompt member is being read.
    inside_prompt: bool,
    /// Where the value began: bytes of the body and of prompt text before it.
    prompt_start: (u64, u64),
    prompt_key: PromptKey,
    /// The depth of the hint that is being skipped.
    hint_depth: Option<u16>,
    /// The canonical bytes before the present key, which may turn out to be a hint.
    key_mark: usize,
    model_keys: u32,
    model_text: ShortText,
    /// Where the values of `model` stand, if that is to be noted.
    model_spans: Option<ModelSpans>,
    limit_text: ShortText,
    /// What the number being read limits.
    limited: Option<Limit>,
    pub(super) limits: Limits,
    /// How many prompts a list of them has named, if there is one.
    prompts: Option<u64>,

    pub(super) model_reading: ModelReading,
    pub(super) cache_salt: ShortText,
    user: ShortText,
    /// Whether the last user named is a string that was read to its end.
    user_read: bool,
    pub(super) turns: TurnEnds,
    pub(super) canonical: CanonicalPrompt,
    /// Bytes of prompt text read, decoded.
    pub(super) prompt_bytes: u64,
    pub(super) stream: bool,
    /// What the present key of nested options is.
    nested: NestedKey,
    /// Whether a stream is to report its token counts.
    pub(super) include_usage: bool,
    pub(super) media: MediaReader,
}

impl Collector {
    /// Nothing learned yet.
    pub(super) fn new(config: &ScanConfig) -> Self {
        Self {
            to_end: config.strict_model || config.note_models,
            sink: Sink::Nowhere,
            key: ShortText::new(MAX_KEY_BYTES),
            member: Member::Other,
            inside_prompt: false,
            prompt_start: (0, 0),
            prompt_key: PromptKey::Text,
            hint_depth: None,
            key_mark: 0,
            model_keys: 0,
            model_text: ShortText::new(MAX_MODEL_BYTES),
            model_spans: config.note_models.then(ModelSpans::default),
            limit_text: ShortText::new(MAX_NUMBER_BYTES),
            limited: None,
            limits: Limits::default(),
            prompts: None,
            model_reading: ModelReading::Absent,
            cache_salt: ShortText::new(MAX_SALT_BYTES),
            user: ShortText::new(MAX_USER_BYTES),
            user_read: false,
            turns: TurnEnds::default(),
            canonical: CanonicalPrompt::new(config.prefix_max_bytes),
            prompt_bytes: 0,
            stream: false,
            nested: NestedKey::Other,
            include_usage: false,
            media: MediaReader::default(),
        }
    }

    /// The bytes allocated.
    pub(super) fn scratch_bytes(&self) -> usize {
        let texts = [
            &self.key,
            &self.model_text,
            &self.limit_text,
            &self.cache_salt,
            &self.user,
        ];
        let spans = self.model_spans.as_ref().map_or(0, ModelSpans::capacity);
        self.canonical.capacity()
            + self.media.capacity()
            + spans
            + texts.map(ShortText::capacity).iter().sum::<usize>()
    }

    /// The model, if what was read may be used as one.
    pub(super) fn model(&self) -> Option<&str> {
        match self.model_reading {
            ModelReading::Usable => core::str::from_utf8(self.model_text.kept()).ok(),
            ModelReading::Absent | ModelReading::NotString | ModelReading::Unusable => None,
        }
    }

    /// Where the values of `model` that were read to their end stand, if that was to be noted.
    pub(super) fn take_model_spans(&mut self) -> ModelSpans {
        self.model_spans.take().unwrap_or_default()
    }

    /// The user, by the beginning of a long one; `None` when none or no name was given.
    pub(super) fn user(&self) -> Option<&[u8]> {
        let user = self.user.kept();
        (self.user_read && !user.is_empty()).then_some(user)
    }

    /// Whether the key `model` came more than once.
    pub(super) const fn model_repeated(&self) -> bool {
        self.model_keys > 1
    }

    /// How many prompts there are.
    pub(super) fn prompts(&self) -> u64 {
        self.prompts.unwrap_or(1).max(1)
    }

    /// Whether the end of what was read lies within an image, a sound or a file.
    pub(super) fn is_inside_media(&self) -> bool {
        self.sink == Sink::Media
    }

    /// Where the prompt value that is being read began: bytes of the body and of prompt text
    /// before it. None between prompts.
    pub(super) fn open_prompt(&self) -> Option<(u64, u64)> {
        self.inside_prompt.then_some(self.prompt_start)
    }

    fn begin_member(&mut self, at: u64) {
        self.member = Member::named(self.key.whole().unwrap_or_default());
        match self.member {
            Member::Model => {
                self.model_keys = self.model_keys.saturating_add(1);
                self.model_reading = ModelReading::Absent;
            }
            Member::Stream => self.stream = false,
            Member::StreamOptions => self.include_usage = false,
            Member::SamplingParams => {
                self.limits.set(Limit::SamplingMaxTokens, None);
                self.limits.set(Limit::SamplingChoices, None);
            }
            Member::CacheSalt => self.cache_salt.clear(),
            Member::User => {
                self.user.clear();
                self.user_read = false;
            }
            Member::Limit(limit) => self.limits.set(limit, None),
            Member::Prompts | Member::Prompt | Member::Messages | Member::Tools => {
                self.inside_prompt = true;
                if self.member == Member::Prompts {
                    self.prompts = None;
                }
                self.prompt_start = (at, self.prompt_bytes);
                self.prompt_key = PromptKey::Text;
                self.hint_depth = None;
                self.canonical.tag(Tag::Key);
                self.canonical.push(self.key.kept());
            }
            Member::Other => {}
        }
    }

    /// Whether a string here stands for an image, a sound or a file. Tools are prefilled as they are.
    fn is_media(&self) -> bool {
        self.prompt_key == PromptKey::Media && self.member != Member::Tools
    }

    /// Whether the present token belongs to the canonical prompt.
    const fn emits(&self) -> bool {
        self.inside_prompt && self.hint_depth.is_none()
    }

    fn begin_not_a_string(&mut self, depth: u16) {
        if depth == 1 && self.member == Member::Model {
            self.model_reading = ModelReading::NotString;
        }
    }

    /// A value within the list of a member begins, a text or a list.
    fn begin_prompt(&mut self) {
        if self.member == Member::Prompts
            && let Some(prompts) = &mut self.prompts
        {
            *prompts += 1;
        }
    }

    const fn end_value(&mut self, depth: u16) {
        self.sink = Sink::Nowhere;
        if depth == 1 {
            self.inside_prompt = false;
        }
    }
}

impl Events for Collector {
    fn open(&mut self, depth: u16, container: Container) {
        self.begin_not_a_string(depth.saturating_sub(1));
        match (depth, container) {
            (2, Container::Array) if self.member == Member::Prompts => self.prompts = Some(0),
            (3, Container::Array) => self.begin_prompt(),
            _ => {}
        }
        if self.emits() {
            self.canonical.tag(match container {
                Container::Object => Tag::ObjectStart,
                Container::Array => Tag::ArrayStart,
            });
        }
    }

    fn close(&mut self, depth: u16, container: Container) {
        if self.hint_depth.is_some_and(|hint| depth < hint) {
            self.hint_depth = None;
        }
        // The end of a member's value is left out: the next turn of a chat goes on there.
        if depth > 1 && self.emits() {
            self.canonical.tag(match container {
                Container::Object => Tag::ObjectEnd,
                Container::Array => Tag::ArrayEnd,
            });
            // With room left, the message is there to its last byte.
            let is_message = depth == 2 && container == Container::Object;
            if is_message && self.member == Member::Messages && self.canonical.room() > 0 {
                self.turns.push(self.canonical.mark());
            }
        }
        self.end_value(depth);
    }

    fn key_start(&mut self, depth: u16) {
        if self.hint_depth.is_some_and(|hint| depth <= hint) {
            self.hint_depth = None;
        }
        if depth == 1 {
            self.key.clear();
            self.sink = Sink::Key;
        } else if depth == 2
            && matches!(self.member, Member::StreamOptions | Member::SamplingParams)
        {
            self.key.clear();
            self.sink = Sink::NestedKey;
        } else if self.emits() {
            self.key.clear();
            self.key_mark = self.canonical.mark();
            self.canonical.tag(Tag::Key);
            self.sink = Sink::PromptKey;
        }
    }

    fn key_end(&mut self, depth: u16, at: u64) {
        match self.sink {
            Sink::Key => self.begin_member(at),
            Sink::NestedKey => {
                self.nested = NestedKey::named(self.key.whole().unwrap_or_default());
                if self.member == Member::SamplingParams
                    && let Some(limit) = self.nested.limit()
                {
                    self.limits.set(limit, None);
                }
            }
            Sink::PromptKey => {
                self.prompt_key = PromptKey::named(self.key.whole().unwrap_or_default());
                if self.prompt_key == PromptKey::Hint {
                    self.canonical.rewind(self.key_mark);
                    self.hint_depth = Some(depth);
                } else if self.member == Member::Tools {
                    self.prompt_bytes += self.key.kept().len() as u64;
                }
            }
            Sink::Nowhere
            | Sink::PromptText { .. }
            | Sink::PromptNumber
            | Sink::Media
            | Sink::Model
            | Sink::CacheSalt
            | Sink::User
            | Sink::Limit => {}
        }
        self.sink = Sink::Nowhere;
    }

    fn string_start(&mut self, depth: u16, at: u64) {
        if depth == 2 {
            self.begin_prompt();
        }
        self.sink = if self.emits() && self.is_media() {
            self.media.begin();
            Sink::Media
        } else if self.emits() {
            self.canonical.tag(Tag::Text);
            Sink::PromptText {
                counts: self.prompt_key == PromptKey::Text || self.member == Member::Tools,
            }
        } else if depth == 1 && self.member == Member::Model {
            self.model_text.clear();
            if let Some(spans) = &mut self.model_spans {
                spans.begin(at);
            }
            Sink::Model
        } else if depth == 1 && self.member == Member::CacheSalt {
            Sink::CacheSalt
        } else if depth == 1 && self.member == Member::User {
            Sink::User
        } else {
            Sink::Nowhere
        };
    }

    fn string_end(&mut self, depth: u16, at: u64) {
        if self.sink == Sink::Model {
            let noted = self.model_spans.as_mut().is_none_or(|spans| spans.end(at));
            self.model_reading = if noted && self.model_text.whole().is_some_and(is_usable_model) {
                ModelReading::Usable
            } else {
                ModelReading::Unusable
            };
        }
        if self.sink == Sink::Media {
            let hash = self.media.end();
            self.canonical.tag(Tag::Media);
            self.canonical.push(&hash);
        }
        self.user_read |= self.sink == Sink::User;
        self.end_value(depth);
    }

    fn number_start(&mut self, depth: u16) {
        self.begin_not_a_string(depth);
        self.sink = if self.emits() {
            self.canonical.number();
            Sink::PromptNumber
        } else {
            self.limit_text.clear();
            self.limited = match (depth, self.member) {
                (1, Member::Limit(limit)) => Some(limit),
                (2, Member::SamplingParams) => self.nested.limit(),
                _ => None,
            };
            match self.limited {
                Some(_) => Sink::Limit,
                None => Sink::Nowhere,
            }
        };
    }

    fn number_end(&mut self, depth: u16) {
        match self.sink {
            Sink::PromptNumber => self.prompt_bytes += BYTES_PER_TOKEN,
            Sink::Limit => {
                let limit = self
                    .limit_text
                    .whole()
                    .and_then(|text| core::str::from_utf8(text).ok()?.parse::<i64>().ok())
                    .and_then(|limit| u64::try_from(limit).ok());
                if let Some(limited) = self.limited {
                    self.limits.set(limited, limit);
                }
            }
            Sink::Nowhere
            | Sink::Key
            | Sink::NestedKey
            | Sink::Media
            | Sink::PromptKey
            | Sink::PromptText { .. }
            | Sink::Model
            | Sink::CacheSalt
            | Sink::User => {}
        }
        self.end_value(depth);
    }

    fn literal(&mut self, depth: u16, literal: Literal) {
        self.begin_not_a_string(depth);
        match (depth, self.member) {
            (1, Member::Stream) => self.stream = literal == Literal::True,
            (2, Member::StreamOptions) if self.nested == NestedKey::IncludeUsage => {
                self.include_usage = literal == Literal::True;
            }
            _ => {}
        }
        if self.emits() {
            self.canonical.tag(Tag::Word);
            self.canonical.push(literal.word());
        }
        self.end_value(depth);
    }

    #[inline]
    fn text(&mut self, text: &[u8]) {
        match self.sink {
            Sink::Nowhere => {}
            Sink::PromptText { counts } => {
                self.canonical.push_decoded(text);
                if counts {
                    self.prompt_bytes += text.len() as u64;
                }
            }
            Sink::PromptNumber => self.canonical.push(text),
            Sink::PromptKey => {
                self.canonical.push_decoded(text);
                self.key.push(text);
            }
            Sink::Media => self.media.push(text),
            Sink::Key | Sink::NestedKey => self.key.push(text),
            Sink::Model => self.model_text.push(text),
            Sink::CacheSalt => self.cache_salt.push(text),
            Sink::User => self.user.push(text),
            Sink::Limit => self.limit_text.push(text),
        }
    }

    #[inline]
    fn raw_text(&mut self, raw: &[u8], decoded_len: usize) {
        if let Sink::PromptText { counts } = self.sink {
            self.canonical.push(raw);
            if counts {
                self.prompt_bytes += decoded_len as u64;
            }
        }
    }

    #[inline]
    fn takes_raw(&self) -> bool {
        matches!(self.sink, Sink::PromptText { .. } | Sink::Nowhere)
    }

    fn integers(&mut self, raw: &[u8], count: usize) {
        if self.emits() {
            self.canonical.number();
            self.canonical.push(raw);
            self.prompt_bytes += BYTES_PER_TOKEN * count as u64;
        }
    }

    #[inline]
    fn budget(&self) -> usize {
        if self.to_end || !self.inside_prompt || self.model_reading == ModelReading::Absent {
            usize::MAX
        } else {
            self.canonical.room().max(1)
        }
    }

    #[inline]
    fn is_enough(&self) -> bool {
        self.inside_prompt
            && self.canonical.room() == 0
            && !self.to_end
            && self.model_reading != ModelReading::Absent
    }

    #[inline]
    fn standing(&self, shape: u64) -> Option<Standing> {
        let is_counted = self.sink == Sink::PromptText { counts: true };
        (is_counted && self.canonical.room() == 0).then_some(Standing {
            place: Place {
                shape,
                prompt_key: self.prompt_key,
                member_start: self.prompt_start.0,
            },
            tally: Tally {
                prompt_bytes: self.prompt_bytes,
                prompts: self.prompts,
                media: self.media.items(),
            },
        })
    }
}

/// Whether a model may be used as a key and a label: 1 to 256 characters that can be seen. Outside
/// ASCII that is letters and digits only; marks that look like nothing, or like another character,
/// have no place in a name.
fn is_usable_model(text: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(text) else {
        return false;
    };
    let mut chars = 0;
    for character in text.chars() {
        chars += 1;
        let visible = match character {
            '\0'..='\x7f' => character.is_ascii_graphic(),
            _ => character.is_alphanumeric(),
        };
        if !visible || chars > MAX_MODEL_CHARS {
            return false;
        }
    }
    chars > 0
}
