//! Every way in which people and Kubernetes change a file.

use std::{fs, os::unix::fs::symlink, path::PathBuf, thread::sleep, time::Duration};

use super::*;

const ONE: &str = "pools: [{name: one}]\n";
const TWO: &str = "pools: [{name: two}]\n";
const BAD: &str = "pools: [{nam: two}]\n";

/// A fresh directory that goes with this value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("zerohop-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn pool(change: Option<Result<Config, Mistakes>>) -> String {
    match change {
        Some(Ok(config)) => config.pools[0].name.to_string(),
        Some(Err(mistakes)) => format!("{} mistakes", mistakes.list.len()),
        None => "no change".to_owned(),
    }
}

#[test]
fn a_file_written_in_place_counts_when_it_has_settled() {
    let folder = Folder::new("in-place");
    let path = folder.write("a.yaml", ONE);
    let (mut file, config) = ConfigFile::open(&path).unwrap();
    assert_eq!(&*config.pools[0].name, "one");
    assert_eq!(pool(file.poll()), "no change");
    folder.write("a.yaml", TWO);
    assert_eq!(pool(file.poll()), "no change", "it may be half written");
    assert_eq!(pool(file.poll()), "two");
    assert_eq!(pool(file.poll()), "no change");
}

#[test]
fn a_half_written_file_is_never_taken() {
    let folder = Folder::new("half");
    let path = folder.write("a.yaml", ONE);
    let (mut file, _) = ConfigFile::open(&path).unwrap();
    let whole = "pools:\n  - name: two\n  - name: three\n";
    for end in 1..whole.len() {
        folder.write("a.yaml", whole.get(..end).unwrap());
        assert_eq!(pool(file.poll()), "no change", "after {end} bytes");
    }
    folder.write("a.yaml", whole);
    assert_eq!(pool(file.poll()), "no change");
    assert_eq!(file.poll().unwrap().unwrap().pools.len(), 2);
}

#[test]
fn same_length_same_second_is_still_noticed() {
    let folder = Folder::new("coarse");
    let path = folder.write("a.yaml", ONE);
    let (mut file, _) = ConfigFile::open(&path).unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    folder.write("a.yaml", TWO);
    // As on a file system whose clock ticks in seconds.
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    file.poll();
    assert_eq!(pool(file.poll()), "two");
}

#[test]
fn a_file_that_is_renamed_over_counts_at_once() {
    let folder = Folder::new("rename");
    let path = folder.write("a.yaml", ONE);
    let (mut file, _) = ConfigFile::open(&path).unwrap();
    let new = folder.write("new.yaml", TWO);
    fs::rename(new, &path).unwrap();
    assert_eq!(pool(file.poll()), "two");
}

#[test]
fn a_config_map_swap_counts_at_once() {
    let folder = Folder::new("config-map");
    for (version, text) in [("..v1", ONE), ("..v2", TWO)] {
        fs::create_dir(folder.path(version)).unwrap();
        folder.write(&format!("{version}/a.yaml"), text);
    }
    symlink("..v1", folder.path("..data")).unwrap();
    symlink("..data/a.yaml", folder.path("a.yaml")).unwrap();
    let (mut file, _) = ConfigFile::open(&folder.path("a.yaml")).unwrap();
    assert_eq!(pool(file.poll()), "no change");
    // As the kubelet does it: a new link, renamed over the old one.
    symlink("..v2", folder.path("..data_tmp")).unwrap();
    fs::rename(folder.path("..data_tmp"), folder.path("..data")).unwrap();
    assert_eq!(pool(file.poll()), "two");
}

#[test]
fn mistakes_are_told_once_and_a_repair_is_taken() {
    let folder = Folder::new("repair");
    let path = folder.write("a.yaml", ONE);
    let (mut file, _) = ConfigFile::open(&path).unwrap();
    folder.write("a.yaml", BAD);
    file.poll();
    assert_eq!(pool(file.poll()), "2 mistakes");
    assert_eq!(pool(file.poll()), "no change", "told once");
    folder.write("a.yaml", ONE);
    file.poll();
    assert_eq!(pool(file.poll()), "one", "the same as before the mistake");
}

#[test]
fn a_file_that_vanishes_is_told_once_and_taken_when_it_is_back() {
    let folder = Folder::new("vanish");
    let path = folder.write("a.yaml", ONE);
    let (mut file, _) = ConfigFile::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let told = file.poll().unwrap().unwrap_err().to_string();
    assert!(told.contains("cannot read the file"), "{told}");
    assert_eq!(pool(file.poll()), "no change");
    folder.write("a.yaml", ONE);
    assert_eq!(pool(file.poll()), "one");
}

#[test]
fn an_old_file_is_not_read_again() {
    let folder = Folder::new("old");
    let path = folder.write("a.yaml", ONE);
    let old = std::time::SystemTime::now() - Duration::from_secs(60);
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(old)
        .unwrap();
    let (mut file, _) = ConfigFile::open(&path).unwrap();
    let before = fs::metadata(&path).unwrap().accessed().unwrap();
    sleep(Duration::from_millis(20));
    assert_eq!(pool(file.poll()), "no change");
    assert_eq!(fs::metadata(&path).unwrap().accessed().unwrap(), before);
}

#[test]
fn what_is_no_text_or_no_file_is_refused() {
    let folder = Folder::new("no-text");
    fs::write(folder.path("a.yaml"), [0xff, 0xfe]).unwrap();
    let told = ConfigFile::open(&folder.path("a.yaml"))
        .unwrap_err()
        .to_string();
    assert!(told.contains("not UTF-8"), "{told}");
    for odd in ["", "missing.yaml"] {
        let told = ConfigFile::open(&folder.path(odd)).unwrap_err().to_string();
        assert!(told.contains("cannot read the file"), "{told}");
    }
}
