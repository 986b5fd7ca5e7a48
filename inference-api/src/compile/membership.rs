//! Who belongs to a pool: each pod that its selector finds, times each of its ports.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{object::Spec, pod::Pod, pool::InferencePool, set::ResourceSet};

/// One port of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `<pod>-rank-<index of the port>`.
    pub name: String,
    /// Tells one life of the pod from the next.
    pub uid: Option<String>,
    /// Where it is.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// The pod's labels.
    pub labels: BTreeMap<String, String>,
    /// Whose metrics it has, when a label says so.
    pub engine: Option<String>,
}

/// An address, or a name that stands for all its addresses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// An IP address.
    Ip(IpAddr),
    /// A DNS name; only in an EndpointList.
    Name(String),
}

/// The pods that can take requests, by namespace.
pub(super) struct Pods<'a>(BTreeMap<&'a str, Vec<&'a Pod>>);

impl<'a> Pods<'a> {
    pub(super) fn new(set: &'a ResourceSet) -> Self {
        let mut namespaces: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
        for object in set.iter() {
            let pods = match &object.spec {
                Spec::Pod(pod) => std::slice::from_ref(pod),
                Spec::EndpointList(pods) => pods.as_slice(),
                Spec::Pool(_) | Spec::Objective(_) | Spec::Rewrite(_) | Spec::Model(_) => continue,
            };
            let namespace = namespaces.entry(&object.meta.key.namespace).or_default();
            namespace.extend(pods.iter().filter(|pod| pod.ready));
        }
        Self(namespaces)
    }

    /// The endpoints of a pool, in the order of pods and ports.
    pub(super) fn of(&self, namespace: &str, pool: &InferencePool) -> Vec<Endpoint> {
        let pods = self.0.get(namespace).map(Vec::as_slice).unwrap_or_default();
        let selected = pods.iter().filter(|pod| {
            let has = |(key, value)| pod.labels.get(key) == Some(value);
            pool.selector.iter().all(has)
        });
        selected.flat_map(|pod| endpoints(pod, pool)).collect()
    }
}

fn endpoints<'a>(pod: &'a Pod, pool: &'a InferencePool) -> impl Iterator<Item = Endpoint> + 'a {
    let ports = pod.ports.as_ref().unwrap_or(&pool.target_ports).iter();
    let active = |port: &u16| {
        let active = pod.active_ports.as_ref();
        active.is_none_or(|active| active.contains(port))
    };
    let host = pod
        .address
        .as_deref()
        .map(|address| match address.parse::<IpAddr>() {
            Ok(ip) => Host::Ip(ip),
            Err(_) => Host::Name(address.to_owned()),
        });
    let ranks = ports
        .copied()
        .enumerate()
        .filter(move |(_, port)| active(port));
    ranks.filter_map(move |(rank, port)| {
        Some(Endpoint {
            name: format!("{}-rank-{rank}", pod.name),
            uid: pod.uid.clone(),
            host: host.clone()?,
            port,
            labels: pod.labels.clone(),
            engine: pod.engine().map(str::to_owned),
        })
    })
}
