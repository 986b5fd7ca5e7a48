//! Properties over many generated logs; natively only, proptest is not built for wasm here.

use picker::EndpointId;
use proptest::prelude::*;

use super::super::*;
use crate::{slot::tests::reseal, testing::cases};

fn any_note() -> impl Strategy<Value = PrefixNote> {
    (
        (any::<std::net::IpAddr>(), 1u16.., any::<u64>()),
        prop::collection::vec(any::<u64>(), 0..20),
        any::<Option<u64>>(),
        any::<prop::sample::Index>(),
    )
        .prop_map(
            |((ip, port, generation), prefix, turn, cached)| PrefixNote {
                endpoint: EndpointId {
                    address: (ip, port).into(),
                    generation,
                },
                cached_blocks: u32::try_from(cached.index(prefix.len() + 1)).expect("few"),
                prefix,
                turn,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(2_000)))]

    #[test]
    fn any_log_survives_the_round_trip(
        owner: u64,
        first_sequence in 0..u64::MAX - 1_000,
        notes in prop::collection::vec(any_note(), 0..30),
    ) {
        let log = PrefixLog { owner, first_sequence, notes };
        prop_assert_eq!(decode(&encode(&log)), Ok(log));
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(200)))]

    /// Whatever is pushed and however often the reader looks: applied and missed notes are all notes,
    /// and the applied ones are the pushed ones in order.
    #[test]
    fn nothing_is_lost_uncounted(
        notes in prop::collection::vec(any_note(), 1..120),
        looks in prop::collection::vec(1..60usize, 1..10),
    ) {
        let mut writer = LogWriter::new(3);
        let mut reader = LogReader::default();
        reader.news(&writer.encode(), &mut |_| ()).expect("a log");
        let (mut applied, mut missed) = (Vec::new(), 0);
        let mut rest = notes.as_slice();
        for look in looks.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (some, behind) = rest.split_at((*look).min(rest.len()));
            rest = behind;
            some.iter().for_each(|note| writer.push(note));
            let news = reader
                .news(&writer.encode(), &mut |note| applied.push(note.clone()))
                .expect("a log");
            missed += news.missed;
        }
        let told: Vec<_> = notes
            .iter()
            .filter(|note| !note.prefix.is_empty() || note.turn.is_some())
            .cloned()
            .collect();
        prop_assert_eq!(applied.len() as u64 + missed, told.len() as u64);
        let mut pushed = told.iter();
        prop_assert!(applied.iter().all(|note| pushed.any(|other| other == note)));
        prop_assert_eq!(applied.last(), told.last());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(20_000)))]

    #[test]
    fn framed_random_bytes_never_panic(content in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut value = encode(&PrefixLog::default());
        value.splice(12..value.len() - 8, content);
        reseal(&mut value);
        if let Ok(log) = decode(&value) {
            prop_assert_eq!(encode(&log), value);
        }
    }
}
