//! Directories, and policies with what endpoints list.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use pool_state::policy::{ModelRule, Policy, PolicyParts};

use super::*;
use crate::{
    config,
    index::{Member, Membership, PoolMembers, TargetId},
};

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("zerohop-resources-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn pool(name: &str) -> String {
    format!(
        "apiVersion: inference.networking.k8s.io/v1\nkind: InferencePool\nmetadata: {{name: {name}}}\n\
         spec: {{selector: {{matchLabels: {{app: m}}}}, targetPorts: [{{number: 8000}}]}}\n"
    )
}

fn names(compiled: &Compiled) -> Vec<&str> {
    compiled
        .pools
        .iter()
        .map(|pool| pool.name.as_str())
        .collect()
}

#[test]
fn a_change_counts_when_two_looks_saw_the_same() {
    let folder = Folder::new();
    folder.write("a.yaml", &pool("a"));
    folder.write(".hidden.yaml", "no: [yaml");
    folder.write("notes.txt", "no: [yaml");
    let (mut directory, compiled) = Directory::open(&folder.0).unwrap();
    assert_eq!(names(&compiled), ["default/a"]);
    assert!(directory.poll().is_none());
    folder.write("b.yaml", "apiVersion: infer");
    assert!(directory.poll().is_none(), "half a file is not taken");
    folder.write("b.yaml", &pool("b"));
    assert!(directory.poll().is_none());
    let update = directory.poll().unwrap();
    assert_eq!(names(&update.compiled.unwrap()), ["default/a", "default/b"]);
    assert_eq!(update.mistakes, [""; 0]);
    assert!(directory.poll().is_none(), "told once");
    fs::remove_file(folder.0.join("a.yaml")).unwrap();
    assert!(directory.poll().is_none());
    assert_eq!(
        names(&directory.poll().unwrap().compiled.unwrap()),
        ["default/b"]
    );
}

#[test]
fn any_mistake_leaves_what_was_before_and_all_are_told() {
    let folder = Folder::new();
    folder.write("a.yaml", &pool("a"));
    let (mut directory, _) = Directory::open(&folder.0).unwrap();
    folder.write("b.yaml", &pool("a"));
    folder.write("c.yaml", "kind: Unknown");
    folder.write("d.yaml", "a: [1");
    assert!(directory.poll().is_none());
    let update = directory.poll().unwrap();
    assert!(update.compiled.is_none());
    let told = update.mistakes.join("\n");
    for part in [
        "c.yaml: document 1: apiVersion: is missing",
        "d.yaml: document 1: not valid YAML",
        "b.yaml: document 1: InferencePool default/a: is in ",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert!(directory.poll().is_none(), "told once");
    for broken in ["b.yaml", "c.yaml", "d.yaml"] {
        fs::remove_file(folder.0.join(broken)).unwrap();
    }
    assert!(directory.poll().is_none());
    assert!(
        directory.poll().unwrap().compiled.is_some(),
        "what was in force is good again"
    );
}

#[test]
fn a_directory_that_went_is_a_mistake_and_its_return_is_news() {
    let folder = Folder::new();
    folder.write("a.yaml", &pool("a"));
    let (mut directory, _) = Directory::open(&folder.0).unwrap();
    fs::remove_dir_all(&folder.0).unwrap();
    assert!(directory.poll().is_none());
    let update = directory.poll().unwrap();
    assert!(update.compiled.is_none() && update.mistakes[0].contains("cannot read"));
    fs::create_dir_all(&folder.0).unwrap();
    folder.write("a.yaml", &pool("a"));
    assert!(directory.poll().is_none());
    assert!(directory.poll().unwrap().compiled.is_some());
    assert!(Directory::open(&folder.0.join("missing")).is_err());
}

#[test]
fn the_files_pools_go_first_and_keep_their_names() {
    let (objects, _) =
        inference_api::documents("a.yaml", &format!("{}---\n{}", pool("a"), pool("b")));
    let mut set = inference_api::ResourceSet::new();
    for object in objects {
        set.apply(object);
    }
    let compiled = inference_api::compile(&set);
    let config = config::parse(
        "f",
        "pools: [{name: default/a, endpoints: [{address: \"10.0.0.1:80\"}]}]",
    )
    .unwrap();
    let (combined, mistakes) = combined(&config, &compiled);
    let names: Vec<&str> = combined.pools.iter().map(|pool| &*pool.name).collect();
    assert_eq!(names, ["default/a", "default/b"]);
    assert_eq!(combined.pools[0].endpoints.len(), 1);
    assert_eq!(
        mistakes,
        ["the configuration file has a pool `default/a` of its own"]
    );
}

fn policy(model: &str) -> Policy {
    let rule = ModelRule {
        model: Some(model.to_owned()),
        source: "r".to_owned(),
        priority: None,
        targets: Vec::new(),
    };
    Policy::new(PolicyParts {
        pool: "p".to_owned(),
        rules: vec![rule],
        ..PolicyParts::default()
    })
    .unwrap()
}

fn membership(targets: &[u64]) -> Membership {
    let member = |target: &u64| Member {
        target: TargetId(*target),
        address: ([10, 0, 0, u8::try_from(*target).unwrap()], 80).into(),
        name: None,
        weight: 1.0,
        price: 1.0,
        labels: Arc::default(),
    };
    let members = targets.iter().map(member).collect();
    Membership {
        pools: vec![PoolMembers {
            name: Arc::from("p"),
            members,
            unresolved: 0,
        }],
    }
}

fn list(models: &[(&str, Option<&str>)]) -> ModelList {
    models
        .iter()
        .map(|(name, base)| (Arc::from(*name), base.map(Arc::from)))
        .collect()
}

fn listed(policies: &Policies) -> BTreeMap<String, Option<String>> {
    policies["p"].policy.parts().models.clone()
}

#[test]
fn a_policy_names_what_its_endpoints_list() {
    let mut catalogue = Catalogue::default();
    let board = crate::adapters::Board::default();
    assert!(catalogue.publish(&board).is_none());
    catalogue.set_policies([policy("a")].iter());
    let first = catalogue.publish(&board).unwrap();
    assert!(listed(&first).is_empty());
    assert!(catalogue.publish(&board).is_none(), "nothing changed");

    catalogue.set_membership(&membership(&[1, 2]));
    let models = list(&[("base", None), ("sql", Some("base"))]);
    assert!(catalogue.set_models(TargetId(1), &models));
    assert!(!catalogue.set_models(TargetId(1), &models));
    let second = catalogue.publish(&board).unwrap();
    let expected = BTreeMap::from([
        ("base".to_owned(), None),
        ("sql".to_owned(), Some("base".to_owned())),
    ]);
    assert_eq!(listed(&second), expected);
    assert!(catalogue.set_models(TargetId(2), &models));
    assert!(
        catalogue.publish(&board).is_none(),
        "another endpoint with the same list"
    );

    catalogue.set_models(
        TargetId(2),
        &list(&[("chat", Some("base")), ("bad\nname", None)]),
    );
    let third = catalogue.publish(&board).unwrap();
    assert_eq!(listed(&third).len(), 3);
    catalogue.set_membership(&membership(&[1]));
    assert_eq!(
        listed(&catalogue.publish(&board).unwrap()),
        expected,
        "who left lists nothing"
    );

    catalogue.set_policies([].iter());
    assert!(catalogue.publish(&board).unwrap().is_empty());
}

#[test]
fn the_first_policy_of_an_agent_that_starts_waits_for_a_list_of_models() {
    let board = crate::adapters::Board::default();
    let mut catalogue = Catalogue::default();
    catalogue.await_lists(true);
    catalogue.set_policies([policy("public")].iter());
    assert!(catalogue.publish(&board).is_none(), "nobody is known");
    catalogue.set_membership(&membership(&[1, 2]));
    assert!(catalogue.publish(&board).is_none(), "nobody said anything");
    assert!(catalogue.set_models(TargetId(2), &list(&[("base", None)])));
    let published = catalogue.publish(&board).unwrap();
    assert!(listed(&published).contains_key("base"));

    // Endpoints that have no list: the end of the start.
    let mut catalogue = Catalogue::default();
    catalogue.await_lists(true);
    catalogue.set_policies([policy("public")].iter());
    catalogue.set_membership(&membership(&[1]));
    assert!(catalogue.publish(&board).is_none());
    catalogue.await_lists(false);
    assert_eq!(catalogue.publish(&board).unwrap().len(), 1);

    // Nobody to wait for.
    let mut catalogue = Catalogue::default();
    catalogue.await_lists(true);
    catalogue.set_policies([policy("public")].iter());
    catalogue.set_membership(&membership(&[]));
    assert_eq!(catalogue.publish(&board).unwrap().len(), 1);
}

#[test]
fn an_adapter_is_drawn_only_when_it_is_ready() {
    use crate::config::{Adapter, PoolAdapters};
    let board = crate::adapters::Board::default();
    let mut catalogue = Catalogue::default();
    let target = |model: &str, weight| pool_state::policy::Target::new(model, Some(weight));
    let rule = ModelRule {
        model: Some("sql".to_owned()),
        source: "r".to_owned(),
        priority: None,
        targets: vec![target("base", 90), target("sql-v2", 10)],
    };
    let parts = PolicyParts {
        pool: "p".to_owned(),
        rules: vec![rule],
        ..PolicyParts::default()
    };
    catalogue.set_policies([Policy::new(parts).unwrap()].iter());
    let declared = PoolAdapters {
        pool: Arc::from("p"),
        present: vec![Adapter {
            name: Arc::from("sql-v2"),
            source: Arc::from("/adapters/sql-v2"),
        }],
        absent: Vec::new(),
        ready_share: 1.0,
    };
    board.declare(&[declared]);
    assert!(
        catalogue.publish(&board).is_none(),
        "nothing is known of the pods yet"
    );
    board.declare(&[]);
    let free = catalogue.publish(&board).unwrap();
    let weights: Vec<_> = free["p"].policy.parts().rules[0]
        .targets
        .iter()
        .map(|t| t.weight)
        .collect();
    assert_eq!(
        weights,
        [Some(90), Some(10)],
        "what is not declared is not held back"
    );
}
