//! Envoy's configuration for a test: the shipped `envoy-config/local/envoy.yaml` with other ports,
//! endpoints and paths, so that what is tested is what ships.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{artifacts, error::RigError};

/// JSON pointers into the shipped configuration.
pub mod at {
    /// The one listener.
    pub const LISTENER: &str = "/static_resources/listeners/0";
    /// Its connection manager.
    pub const MANAGER: &str =
        "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
    /// The HTTP filters.
    pub const HTTP_FILTERS: &str =
        "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
    /// Our filter.
    pub const FILTER: &str =
        "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0";
    /// The virtual host.
    pub const VIRTUAL_HOST: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0";
    /// The route.
    pub const ROUTE: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0/routes/0/route";
    /// The cluster of model servers.
    pub const MODEL_SERVERS: &str = "/static_resources/clusters/0";
    /// The cluster of the agent.
    pub const AGENT: &str = "/static_resources/clusters/1";
}

/// The response header by which the tests see who answered; only test configurations have it.
pub const UPSTREAM_HEADER: &str = "x-rig-upstream";
/// The response header with the number of attempts; only test configurations have it.
pub const ATTEMPTS_HEADER: &str = "x-rig-attempts";

/// A whole Envoy configuration that can be changed place by place.
#[derive(Debug, Clone)]
pub struct EnvoyConfig {
    source: PathBuf,
    root: Value,
}

impl EnvoyConfig {
    /// The shipped local configuration, as it stands.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn shipped() -> Result<Self, RigError> {
        Self::read(&artifacts::repository().join("envoy-config/local/envoy.yaml"))
    }

    /// Any configuration file.
    ///
    /// # Errors
    /// When it cannot be read or is not YAML.
    pub fn read(path: &Path) -> Result<Self, RigError> {
        let text =
            fs::read_to_string(path).map_err(RigError::io(format!("read {}", path.display())))?;
        let root = serde_saphyr::from_str(&text).map_err(|error| RigError::Config {
            path: path.to_path_buf(),
            problem: error.to_string(),
        })?;
        Ok(Self {
            source: path.to_path_buf(),
            root,
        })
    }

    /// The whole configuration.
    #[must_use]
    pub const fn root(&self) -> &Value {
        &self.root
    }

    /// The value at `pointer`.
    ///
    /// # Errors
    /// When the shipped file no longer has it.
    pub fn get(&self, pointer: &str) -> Result<&Value, RigError> {
        self.root
            .pointer(pointer)
            .ok_or_else(|| self.problem(format!("has no {pointer}")))
    }

    /// Replaces the value at `pointer`; the last step may be new.
    ///
    /// # Errors
    /// When there is no such place.
    pub fn set(&mut self, pointer: &str, value: Value) -> Result<(), RigError> {
        let missing = self.problem(format!("has no {pointer}"));
        let (parent, key) = pointer.rsplit_once('/').unwrap_or(("", pointer));
        let slot = match self.root.pointer_mut(parent) {
            Some(Value::Object(map)) => Some(map.entry(key).or_insert(Value::Null)),
            Some(Value::Array(list)) => key.parse().ok().and_then(|at: usize| list.get_mut(at)),
            _ => None,
        };
        *slot.ok_or(missing)? = value;
        Ok(())
    }

    /// Where the listener and the admin interface listen.
    ///
    /// # Errors
    /// When the file has no such places.
    pub fn listen(&mut self, listener: SocketAddr, admin: SocketAddr) -> Result<(), RigError> {
        self.set(
            &format!("{}/address", at::LISTENER),
            socket_address(listener),
        )?;
        self.set("/admin/address", socket_address(admin))
    }

    /// Fixed members of the cluster of model servers in place of those that an agent would tell, and
    /// the filter's own seed of them.
    ///
    /// # Errors
    /// When the file has no such place.
    pub fn members(&mut self, members: &[SocketAddr]) -> Result<(), RigError> {
        let at = at::MODEL_SERVERS;
        let missing = self.problem(format!("has no cluster at {at}"));
        let Some(Value::Object(cluster)) = self.root.pointer_mut(at) else {
            return Err(missing);
        };
        cluster.remove("eds_cluster_config");
        cluster.insert("type".to_owned(), json!("STATIC"));
        cluster.insert(
            "load_assignment".to_owned(),
            json!({"cluster_name": "model-servers", "endpoints": endpoints(members)}),
        );
        self.change_plugin(|plugin| {
            let names: Vec<String> = members.iter().map(ToString::to_string).collect();
            if let Some(pool) = plugin.pointer_mut("/pools/0") {
                pool["members"] = json!(names);
            }
        })
    }

    /// Where the agent is.
    ///
    /// # Errors
    /// When the file has no such place.
    pub fn agent(&mut self, agent: SocketAddr) -> Result<(), RigError> {
        self.agents(&[agent])
    }

    /// Where several agents are.
    ///
    /// # Errors
    /// When the file has no such place.
    pub fn agents(&mut self, agents: &[SocketAddr]) -> Result<(), RigError> {
        self.set(
            &format!("{}/load_assignment/endpoints", at::AGENT),
            endpoints(agents),
        )
    }

    /// The filter's module.
    ///
    /// # Errors
    /// When the file has no such place.
    pub fn wasm(&mut self, module: &Path) -> Result<(), RigError> {
        self.set(
            &format!(
                "{}/typed_config/config/vm_config/code/local/filename",
                at::FILTER
            ),
            json!(module),
        )
    }

    /// Our filter's own JSON configuration.
    ///
    /// # Errors
    /// When the file has none or it is not JSON.
    pub fn plugin(&self) -> Result<Value, RigError> {
        let text = self.get(&Self::plugin_at())?;
        serde_json::from_str(text.as_str().unwrap_or_default())
            .map_err(|error| self.problem(format!("plugin configuration: {error}")))
    }

    /// Replaces our filter's own configuration with any text.
    ///
    /// # Errors
    /// When the file has no such place.
    pub fn set_plugin(&mut self, text: &str) -> Result<(), RigError> {
        self.set(&Self::plugin_at(), json!(text))
    }

    /// Changes our filter's own configuration.
    ///
    /// # Errors
    /// When the file has none.
    pub fn change_plugin(&mut self, change: impl FnOnce(&mut Value)) -> Result<(), RigError> {
        let mut plugin = self.plugin()?;
        change(&mut plugin);
        self.set_plugin(&plugin.to_string())
    }

    /// Takes our filter out of the chain and leaves the decision to another of Envoy's policies.
    ///
    /// # Errors
    /// When the file has no such places.
    pub fn balance_by(&mut self, policy: Value) -> Result<(), RigError> {
        self.remove_filter()?;
        let at = format!("{}/load_balancing_policy", at::MODEL_SERVERS);
        self.set(&at, policy)
    }

    /// Takes our filter out of the chain and leaves the decision to the policy that the file falls
    /// back to without it, round robin.
    ///
    /// # Errors
    /// When the file has no such places.
    pub fn balance_by_fallback(&mut self) -> Result<(), RigError> {
        let at =
            "load_balancing_policy/policies/0/typed_extension_config/typed_config/fallback_policy";
        let fallback = self.get(&format!("{}/{at}", at::MODEL_SERVERS))?.clone();
        self.balance_by(fallback)
    }

    /// Takes our filter out of the chain.
    ///
    /// # Errors
    /// When the file has no filters.
    pub fn remove_filter(&mut self) -> Result<(), RigError> {
        let router = self.get(&format!("{}/1", at::HTTP_FILTERS))?.clone();
        self.set(at::HTTP_FILTERS, json!([router]))
    }

    /// Turns the one filter into the pair, exactly as istiod would write it: no vm_id, no flag.
    ///
    /// # Errors
    /// When the file has no filter.
    pub fn pair(&mut self) -> Result<(), RigError> {
        let pointer = format!("{}/typed_config/config", at::FILTER);
        for (key, value) in [
            ("vm_config/vm_id", json!("")),
            ("allow_on_headers_stop_iteration", json!(null)),
        ] {
            self.set(&format!("{pointer}/{key}"), value)?;
        }
        let mut filter = |name: &str, mode: &str| {
            self.change_plugin(|plugin| plugin["mode"] = json!(mode))?;
            self.set(&format!("{}/name", at::FILTER), json!(name))?;
            self.set(&format!("{pointer}/name"), json!(name))?;
            Ok::<_, RigError>(self.get(at::FILTER)?.clone())
        };
        let first = filter("default.zerohop-first", "pair_first")?;
        let second = filter("default.zerohop-second", "pair_second")?;
        let router = self.get(&format!("{}/1", at::HTTP_FILTERS))?.clone();
        self.set(at::HTTP_FILTERS, json!([first, second, router]))
    }

    /// Adds the response headers by which the tests see who answered.
    ///
    /// # Errors
    /// When the file has no virtual host.
    pub fn show_upstream(&mut self) -> Result<(), RigError> {
        let header = |key: &str, value: &str| json!({"header": {"key": key, "value": value}});
        self.set(
            &format!("{}/response_headers_to_add", at::VIRTUAL_HOST),
            json!([
                header(UPSTREAM_HEADER, "%UPSTREAM_HOST%"),
                header(ATTEMPTS_HEADER, "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"),
            ]),
        )
    }

    /// Moves our filter into an extension configuration file that Envoy watches, as Istio's ECDS
    /// delivers it; returns that file's content.
    ///
    /// # Errors
    /// When the file has no filter.
    pub fn discover_filter(&mut self, file: &Path) -> Result<String, RigError> {
        let content = self.discovered("1")?;
        self.set(
            at::FILTER,
            json!({
                "name": "zerohop",
                "config_discovery": {
                    "config_source": {
                        "path_config_source": {"path": file},
                        "resource_api_version": "V3",
                    },
                    "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"],
                }
            }),
        )?;
        Ok(content)
    }

    /// The extension configuration resource of our filter as this configuration has it.
    ///
    /// # Errors
    /// When the file has no filter.
    pub fn discovered(&self, version: &str) -> Result<String, RigError> {
        Ok(json!({
            "version_info": version,
            "resources": [{
                "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
                "name": "zerohop",
                "typed_config": self.get(&format!("{}/typed_config", at::FILTER))?,
            }]
        })
        .to_string())
    }

    fn plugin_at() -> String {
        format!("{}/typed_config/config/configuration/value", at::FILTER)
    }

    fn problem(&self, problem: String) -> RigError {
        RigError::Config {
            path: self.source.clone(),
            problem,
        }
    }
}

/// An address as Envoy writes it.
#[must_use]
pub fn socket_address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

fn endpoints(members: &[SocketAddr]) -> Value {
    let endpoints: Vec<Value> = members
        .iter()
        .map(|member| json!({"endpoint": {"address": socket_address(*member)}}))
        .collect();
    json!([{"lb_endpoints": endpoints}])
}
