//! Signals from the captured pages and from pages that no capture shows.

use super::*;
use crate::scrape::AdapterActivity;

fn capture(name: &str) -> Vec<u8> {
    let path = format!(
        "{}/../testdata/metrics/{name}.prom",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn read(dialect: &str, page: impl AsRef<[u8]>) -> Scraped {
    Dialect::builtin(dialect)
        .unwrap()
        .read(page.as_ref(), PageLimits::default())
}

fn adapters(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

#[test]
fn vllm_0_32_under_load_gives_every_signal() {
    let scraped = read("vllm", capture("vllm-0.32.0-lora-peak-lora"));
    assert_eq!(scraped.waiting, Some(20.0));
    assert_eq!(scraped.running, Some(4.0));
    assert_eq!(scraped.kv_usage, Some((16.0 / 63.0) as f32));
    assert_eq!(
        (scraped.kv_block_size, scraped.kv_blocks),
        (Some(32), Some(64))
    );
    assert_eq!(scraped.generation_tokens_total, Some(5106.0));
    assert_eq!(scraped.prompt_tokens_total, Some(6442.0));
    assert_eq!(scraped.cached_prompt_tokens_total, Some(192.0));
    assert_eq!(scraped.success_total, Some(63.0));
    assert_eq!(scraped.process_start_time_seconds, Some(1.795_349_852_52e9));
    assert_eq!(scraped.awake, Some(true));
    assert!(scraped.moves_every_step);
    assert_eq!(scraped.models, adapters(&["tiny"]));
    assert_eq!(&*scraped.dialect, "vllm");
    assert!(scraped.problems.is_clean(), "{:?}", scraped.problems);
}

#[test]
fn vllm_0_16_keeps_its_old_page_shape() {
    let scraped = read("vllm", capture("vllm-0.16.0-lora-after-load"));
    assert_eq!((scraped.waiting, scraped.running), (Some(0.0), Some(0.0)));
    assert_eq!(scraped.kv_usage, Some(0.0));
    assert_eq!(
        (scraped.kv_block_size, scraped.kv_blocks),
        (Some(32), Some(64))
    );
    assert_eq!(scraped.success_total, Some(24.0));
    assert!(scraped.problems.is_clean());
}

/// Pitfall 1: every old combination of adapters stays in the page; the newest one is idle here.
#[test]
fn only_the_newest_lora_series_counts() {
    let idle = read("vllm", capture("vllm-0.16.0-lora-after-load"));
    assert_eq!(
        idle.lora,
        Some(AdapterActivity {
            max: 2,
            ..AdapterActivity::default()
        })
    );

    let busy = read("vllm", capture("vllm-0.32.0-2replicas-slim-peak-lora"));
    let both = adapters(&["chat", "sql"]);
    assert_eq!(
        busy.lora,
        Some(AdapterActivity {
            active: both.clone(),
            waiting: both,
            max: 2
        })
    );
}

/// Pitfall 1: "sql,chat" and "chat,sql" are the same state.
#[test]
fn the_order_of_adapters_in_a_label_means_nothing() {
    let page = |list: &str| {
        format!(
            "vllm:lora_requests_info{{max_lora=\"4\",running_lora_adapters=\"{list}\",\
             waiting_lora_adapters=\"\"}} 1.7953499242e+09\n"
        )
    };
    let one = read("vllm", page("sql,chat"));
    assert_eq!(one.lora, read("vllm", page("chat, sql,,chat")).lora);
    assert_eq!(one.lora.unwrap().active, adapters(&["chat", "sql"]));
}

/// Pitfall 2: the waiting label repeats the running one; it is passed on as it stands, and the
/// queue is read from the queue's own metric.
#[test]
fn adapters_that_only_wait_are_invisible() {
    let scraped = read("vllm", capture("vllm-0.32.0-loradeferred-peak-lora"));
    let lora = scraped.lora.unwrap();
    assert_eq!(lora.active, lora.waiting);
    assert_eq!(lora.active, adapters(&["sql"]));
    assert_eq!(scraped.waiting, Some(28.0));
}

/// Without `--enable-lora` there is no LoRA series: unknown, not "no adapter active".
#[test]
fn an_engine_without_lora_says_nothing_about_adapters() {
    assert_eq!(read("vllm", capture("vllm-0.32.0-nolora-idle")).lora, None);
}

/// Pitfall 7: one series per engine.
#[test]
fn data_parallel_engines_add_up_and_the_fullest_cache_counts() {
    let scraped = read("vllm", capture("vllm-0.32.0-dp2-peak-num_requests_waiting"));
    assert_eq!((scraped.waiting, scraped.running), (Some(22.0), Some(8.0)));
    assert_eq!(scraped.generation_tokens_total, Some(77.0 + 157.0));
    assert_eq!(scraped.prompt_tokens_total, Some(960.0));
    assert_eq!(scraped.cached_prompt_tokens_total, Some(0.0));
    assert_eq!(scraped.kv_usage, Some((20.0 / 63.0) as f32));
    assert_eq!(
        scraped.kv_blocks,
        Some(128),
        "each series names the sum of both engines"
    );

    let uneven = "vllm:kv_cache_usage_perc{engine=\"0\"} 0.25\n\
                  vllm:kv_cache_usage_perc{engine=\"1\"} 0.75\n\
                  vllm:kv_cache_usage_perc{engine=\"2\"} 0.5\n";
    assert_eq!(read("vllm", uneven).kv_usage, Some(0.75));
}

/// Pitfall 7: before the first request there are HELP and TYPE but no samples.
#[test]
fn missing_samples_are_unknown_and_not_zero() {
    let scraped = read("vllm", capture("vllm-0.32.0-dp2-idle"));
    assert_eq!(
        (scraped.waiting, scraped.running, scraped.kv_usage),
        (None, None, None)
    );
    assert_eq!(scraped.process_start_time_seconds, None);
    assert_eq!(scraped.generation_tokens_total, Some(0.0));
    assert_eq!(scraped.awake, Some(true));
    assert!(scraped.problems.is_clean(), "missing is no error");
}

/// A value that cannot be read in one of two engines must not make the sum look smaller.
#[test]
fn one_bad_engine_makes_the_sum_unknown() {
    for bad in ["NaN", "+Inf", "-1", "1e400", "0x10", "", "1e8"] {
        let page = format!(
            "vllm:num_requests_waiting{{engine=\"0\"}} 3\n\
             vllm:num_requests_waiting{{engine=\"1\"}} {bad}\n\
             vllm:num_requests_running{{engine=\"0\"}} 1\n"
        );
        let scraped = read("vllm", page);
        assert_eq!(scraped.waiting, None, "{bad:?}");
        assert_eq!(
            scraped.running,
            Some(1.0),
            "{bad:?} costs only its own signal"
        );
        let problems = scraped.problems;
        assert_eq!(
            problems.bad_lines + problems.bad_values,
            1,
            "{bad:?}: {problems:?}"
        );
    }
}

/// Pitfall 8 and the table of versions: block counts may be missing.
#[test]
fn a_block_count_of_none_is_unknown() {
    let page = "vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"None\"} 1.0\n";
    let scraped = read("vllm", page);
    assert_eq!((scraped.kv_block_size, scraped.kv_blocks), (Some(16), None));
    assert!(
        scraped.problems.is_clean(),
        "vLLM writes None before it knows"
    );
}

#[test]
fn usage_is_clamped_within_rounding_and_unknown_in_another_unit() {
    let usage = |value: &str| {
        read(
            "vllm",
            format!("vllm:kv_cache_usage_perc{{engine=\"0\"}} {value}\n"),
        )
        .kv_usage
    };
    assert_eq!(usage("1.0000001"), Some(1.0));
    assert_eq!(usage("-1e-9"), Some(0.0));
    assert_eq!(usage("42"), None, "percentages");
    assert_eq!(usage("-0.5"), None);
}

#[test]
fn a_sleeping_engine_is_not_awake() {
    let page = "vllm:engine_sleep_state{engine=\"0\",sleep_state=\"awake\"} 1.0\n\
                vllm:engine_sleep_state{engine=\"1\",sleep_state=\"awake\"} 0.0\n\
                vllm:engine_sleep_state{engine=\"1\",sleep_state=\"discard_all\"} 1.0\n";
    assert_eq!(read("vllm", page).awake, Some(false), "one engine sleeps");
}

/// The table of versions: the utilization was renamed in 0.9.2, and both names stood side by side
/// until 0.11.
#[test]
fn every_name_of_the_utilization_is_read_and_the_new_one_wins() {
    let v0_6 = "vllm:num_requests_running{model_name=\"m\"} 2\n\
                vllm:num_requests_swapped{model_name=\"m\"} 1\n\
                vllm:num_requests_waiting{model_name=\"m\"} 5\n\
                vllm:gpu_cache_usage_perc{model_name=\"m\"} 0.5\n\
                vllm:cpu_cache_usage_perc{model_name=\"m\"} 0.9\n";
    let scraped = read("vllm", v0_6);
    assert_eq!((scraped.waiting, scraped.running), (Some(5.0), Some(2.0)));
    assert_eq!(scraped.kv_usage, Some(0.5));

    let v0_10 = "vllm:gpu_cache_usage_perc{engine=\"0\"} 0.25\n\
                 vllm:kv_cache_usage_perc{engine=\"0\"} 0.75\n";
    assert_eq!(read("vllm", v0_10).kv_usage, Some(0.75));
    let bad_new = "vllm:gpu_cache_usage_perc{engine=\"0\"} 0\n\
                   vllm:kv_cache_usage_perc{engine=\"0\"} NaN\n";
    assert_eq!(
        read("vllm", bad_new).kv_usage,
        None,
        "an unusable value is not papered over"
    );
}

/// The table of versions in full: which names and labels stand in the page of which release.
#[test]
fn every_release_of_vllm_gives_queue_batch_and_utilization() {
    let model = "model_name=\"m\"";
    let engine = "engine=\"0\",model_name=\"m\"";
    let (gpu, kv) = ("gpu_cache_usage_perc", "kv_cache_usage_perc");
    for (release, labels, usages) in [
        ("0.6.0", model, &[gpu, "cpu_cache_usage_perc"][..]),
        ("0.7.3", model, &[gpu]),
        ("0.8.5", engine, &[gpu]),
        ("0.9.2", engine, &[gpu, kv]),
        ("0.11", engine, &[kv]),
        ("0.11 with hidden metrics", engine, &[gpu, kv]),
        ("0.12 to 0.33", engine, &[kv]),
    ] {
        let mut page = format!(
            "vllm:num_requests_waiting{{{labels}}} 7.0\nvllm:num_requests_running{{{labels}}} 3.0\n\
             vllm:generation_tokens_total{{{labels}}} 10.0\n"
        );
        for usage in usages {
            let value = if usage.starts_with("cpu") { 0.75 } else { 0.5 };
            page += &format!("vllm:{usage}{{{labels}}} {value}\n");
        }
        for dialect in ["vllm", "auto"] {
            let scraped = read(dialect, &page);
            let read = (scraped.waiting, scraped.running, scraped.kv_usage);
            assert_eq!(read, (Some(7.0), Some(3.0), Some(0.5)), "{release}");
            assert_eq!(scraped.generation_tokens_total, Some(10.0), "{release}");
        }
    }
}

#[test]
fn a_repeated_series_counts_once() {
    let page = "vllm:num_requests_waiting{engine=\"0\"} 7\n\
                vllm:num_requests_waiting{engine=\"0\"} 3\n";
    assert_eq!(read("vllm", page).waiting, Some(3.0));
}

#[test]
fn sglang_ranks_that_mirror_each_other_count_once() {
    let mut page = String::new();
    for (dp_rank, queued) in [("0", 3), ("1", 4)] {
        for tp_rank in 0..4 {
            page += &format!(
                "sglang:num_queue_reqs{{dp_rank=\"{dp_rank}\",tp_rank=\"{tp_rank}\",\
                 priority=\"\"}} {queued}\n\
                 sglang:num_queue_reqs{{dp_rank=\"{dp_rank}\",tp_rank=\"{tp_rank}\",\
                 priority=\"1\"}} 1\n\
                 sglang:num_running_reqs{{dp_rank=\"{dp_rank}\",tp_rank=\"{tp_rank}\"}} 2\n\
                 sglang:token_usage{{dp_rank=\"{dp_rank}\",tp_rank=\"{tp_rank}\"}} 0.{queued}\n"
            );
        }
    }
    page += "sglang:cache_config_info{page_size=\"64\",num_pages=\"1000\"} 1\n";
    let scraped = read("sglang", page);
    assert_eq!((scraped.waiting, scraped.running), (Some(7.0), Some(4.0)));
    assert_eq!(scraped.kv_usage, Some(0.4));
    assert_eq!(
        (scraped.kv_block_size, scraped.kv_blocks),
        (Some(64), Some(1000))
    );
    assert!(
        !scraped.moves_every_step,
        "its counters move when requests end"
    );
}

#[test]
fn trtllm_serve_is_read_from_its_own_path() {
    let page = "trtllm_num_requests_waiting{model_name=\"m\",engine_type=\"trtllm\"} 6\n\
                trtllm_num_requests_running{model_name=\"m\",engine_type=\"trtllm\"} 9\n\
                trtllm_kv_cache_utilization{model_name=\"m\",engine_type=\"trtllm\"} 0.625\n\
                trtllm_kv_cache_tokens_per_block{model_name=\"m\"} 32\n\
                trtllm_kv_cache_max_blocks{model_name=\"m\"} 512\n";
    let scraped = read("trtllm-serve", page);
    assert_eq!((scraped.waiting, scraped.running), (Some(6.0), Some(9.0)));
    assert_eq!(scraped.kv_usage, Some(0.625));
    assert_eq!(
        (scraped.kv_block_size, scraped.kv_blocks),
        (Some(32), Some(512))
    );
    let dialect = Dialect::builtin("trtllm-serve").unwrap();
    assert_eq!(dialect.metrics_path(), "/prometheus/metrics");
}

fn triton(types: &[(&str, &str)], blocks: &[(&str, &str)]) -> Scraped {
    let mut page = String::new();
    for (kind, value) in types {
        page += &format!(
            "nv_trt_llm_request_metrics{{model=\"m\",request_type=\"{kind}\",version=\"1\"}} {value}\n"
        );
    }
    for (kind, value) in blocks {
        page += &format!(
            "nv_trt_llm_kv_cache_block_metrics{{kv_cache_block_type=\"{kind}\",model=\"m\"}} {value}\n"
        );
    }
    read("triton-tensorrt-llm", page)
}

#[test]
fn triton_names_queue_and_fraction_in_newer_releases() {
    let scraped = triton(
        &[
            ("waiting", "4"),
            ("scheduled", "8"),
            ("active", "99"),
            ("max", "512"),
        ],
        &[
            ("fraction", "0.5"),
            ("tokens_per", "64"),
            ("used", "1"),
            ("max", "6239"),
        ],
    );
    assert_eq!((scraped.waiting, scraped.running), (Some(4.0), Some(8.0)));
    assert_eq!(scraped.kv_usage, Some(0.5));
    assert_eq!(
        (scraped.kv_block_size, scraped.kv_blocks),
        (Some(64), Some(6239))
    );
}

#[test]
fn triton_queue_and_fraction_are_derived_in_older_releases() {
    let scraped = triton(
        &[("scheduled", "8"), ("active", "11"), ("max", "512")],
        &[("used", "1000"), ("free", "3000"), ("max", "4000")],
    );
    assert_eq!(scraped.waiting, Some(3.0));
    assert_eq!(scraped.kv_usage, Some(0.25));

    let fewer = triton(
        &[("scheduled", "8"), ("active", "0")],
        &[("used", "1"), ("max", "0")],
    );
    assert_eq!(fewer.waiting, Some(0.0), "never negative");
    assert_eq!(
        fewer.kv_usage, None,
        "a cache of no blocks has no utilization"
    );

    let bad = triton(
        &[("waiting", "NaN"), ("scheduled", "8"), ("active", "8")],
        &[],
    );
    assert_eq!(
        bad.waiting, None,
        "a named but unusable queue is not derived"
    );
}

#[test]
fn smaller_engines_say_what_they_can() {
    let tgi = read("tgi", "tgi_queue_size 3\ntgi_batch_current_size 2\n");
    assert_eq!(
        (tgi.waiting, tgi.running, tgi.kv_usage),
        (Some(3.0), Some(2.0), None)
    );
    let llama = read(
        "llama-cpp",
        "llamacpp:requests_deferred 1\nllamacpp:requests_processing 4\n",
    );
    assert_eq!((llama.waiting, llama.running), (Some(1.0), Some(4.0)));
    let lmdeploy = read(
        "lmdeploy",
        "lmdeploy:num_requests_waiting{engine=\"0\"} 1\nlmdeploy:gpu_cache_usage_perc{engine=\"0\"} 0.5\n",
    );
    assert_eq!(
        (lmdeploy.waiting, lmdeploy.kv_usage),
        (Some(1.0), Some(0.5))
    );
}

#[test]
fn auto_finds_the_dialect_from_the_names() {
    let vllm = capture("vllm-0.32.0-lora-peak-lora");
    assert_eq!(read("auto", &vllm), read("vllm", &vllm));
    let sglang = "process_start_time_seconds 1.7e9\nsglang:num_queue_reqs 2\n";
    assert_eq!(read("auto", sglang), read("sglang", sglang));
    assert_eq!(&*read("auto", "tgi_queue_size 1\n").dialect, "tgi");
}

#[test]
fn a_page_without_a_known_metric_is_told_apart_from_an_idle_engine() {
    for page in [
        "",
        "process_start_time_seconds 1.7e9\n",
        "<html>\n",
        "other_metric 1\n",
    ] {
        let scraped = read("auto", page);
        assert!(scraped.problems.nothing_known, "{page:?}");
        assert_eq!((scraped.waiting, scraped.running), (None, None));
    }
}

#[test]
fn custom_names_come_from_the_configuration() {
    let raw = RawCustomDialect {
        waiting: Some(r#"my_queue{kind="pending, or \"so\""}"#.to_owned()),
        running: Some("my_batch".to_owned()),
        kv_used: Some("my_cache{state=\"used\"}".to_owned()),
        kv_total: Some("my_cache{state=\"all\"}".to_owned()),
        block_info: Some(custom::RawBlockInfo {
            metric: "my_info".to_owned(),
            block_size_label: Some("block".to_owned()),
            blocks_label: Some("count".to_owned()),
        }),
        lora: Some(custom::RawLoraInfo {
            metric: "my_adapters".to_owned(),
            active_label: "on".to_owned(),
            waiting_label: None,
            max_label: None,
        }),
        ..RawCustomDialect::default()
    };
    let mut mistakes = Vec::new();
    let custom = raw.check("engines.mine", &mut mistakes).unwrap();
    assert!(mistakes.is_empty());
    let page = r#"my_queue{kind="done"} 100
my_queue{kind="pending, or \"so\""} 4
my_batch 2
my_cache{state="used"} 10
my_cache{state="all"} 40
my_info{block="16",count="40"} 1
my_adapters{on="b,a"} 1700000000
"#;
    let scraped = Dialect::custom("mine", &custom).read(page.as_bytes(), PageLimits::default());
    assert_eq!((scraped.waiting, scraped.running), (Some(4.0), Some(2.0)));
    assert_eq!(scraped.kv_usage, Some(0.25));
    assert_eq!(
        (scraped.kv_block_size, scraped.kv_blocks),
        (Some(16), Some(40))
    );
    assert_eq!(scraped.lora.unwrap().active, adapters(&["a", "b"]));
    assert_eq!(&*scraped.dialect, "mine");
}

#[test]
fn every_mistake_of_a_custom_dialect_is_listed_with_its_place() {
    let raw = RawCustomDialect {
        running: Some("9lives".to_owned()),
        kv_used: Some("used{a=b}".to_owned()),
        success: Some("done{a=\"b\"} 5".to_owned()),
        awake: Some("awake{a!=\"b\"}".to_owned()),
        generation_tokens: Some("two words".to_owned()),
        ..RawCustomDialect::default()
    };
    let mut mistakes = Vec::new();
    assert_eq!(raw.check("engines.mine", &mut mistakes), None);
    let list = mistakes.join("\n");
    for place in [
        "engines.mine: `kv_used` and `kv_total`",
        "engines.mine.running: ",
        "engines.mine.kv_used: ",
        "engines.mine.success: ",
        "engines.mine.awake: ",
        "engines.mine.generation_tokens: ",
    ] {
        assert!(list.contains(place), "{place} is missing in\n{list}");
    }
    assert_eq!(mistakes.len(), 6, "{list}");

    let mut mistakes = Vec::new();
    assert_eq!(
        RawCustomDialect::default().check("engines.none", &mut mistakes),
        None
    );
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
}
