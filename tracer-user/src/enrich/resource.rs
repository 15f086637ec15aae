//! The attributes of a resource, and a cache so that they are made once a process.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::{container, environment, pod, service};
use crate::event::{Host, Process, ProcessKey};
use crate::genai::span::Value;

// Names of the OpenTelemetry semantic conventions for resources, v1.41.
const CONTAINER_ID: &str = "container.id";
const HOST_NAME: &str = "host.name";
const POD_UID: &str = "k8s.pod.uid";
const OS_TYPE: &str = "os.type";
const PROCESS_COMMAND: &str = "process.command";
const PROCESS_EXECUTABLE_NAME: &str = "process.executable.name";
const PROCESS_EXECUTABLE_PATH: &str = "process.executable.path";
const PROCESS_PARENT_PID: &str = "process.parent_pid";
const PROCESS_PID: &str = "process.pid";
const SERVICE_NAME: &str = "service.name";
const SERVICE_VERSION: &str = "service.version";
const DISTRO_NAME: &str = "telemetry.distro.name";
const DISTRO_VERSION: &str = "telemetry.distro.version";

/// Most processes whose resource is kept.
pub(super) const CACHED_MAX: usize = 1024;

/// A key and its value. Keys may be a user's own.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceAttribute {
    /// Name.
    pub key: Cow<'static, str>,
    /// Value.
    pub value: Value,
}

/// A process as OpenTelemetry describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// The name of the service, which is among the attributes too.
    pub service_name: String,
    /// The process, for people.
    pub pid: u32,
    /// Attributes in order of their names; each key once.
    pub attributes: Vec<ResourceAttribute>,
}

impl Resource {
    /// Describes a process.
    ///
    /// What the process says of itself in `OTEL_RESOURCE_ATTRIBUTES` goes before what we see. A command line may hold
    /// secrets: only the command itself is told (`process.command`), never its arguments.
    pub fn of(process: &Process, host: Option<&Host>) -> Self {
        let own = environment::resource_attributes(&process.environment);
        let service_name = service_name(process, &own);
        let mut attributes = Attributes(Vec::new());

        let executable = process
            .executable
            .strip_suffix(" (deleted)")
            .unwrap_or(&process.executable);
        attributes.text(PROCESS_EXECUTABLE_PATH, executable);
        attributes.text(
            PROCESS_EXECUTABLE_NAME,
            executable.rsplit('/').next().unwrap_or_default(),
        );
        attributes.text(PROCESS_COMMAND, command(&process.command_line));
        attributes.number(PROCESS_PID, process.key.pid);
        if process.parent_pid != 0 {
            attributes.number(PROCESS_PARENT_PID, process.parent_pid);
        }
        attributes.text(
            CONTAINER_ID,
            container::container_id(&process.cgroup).unwrap_or_default(),
        );
        attributes.text(POD_UID, &container::pod_uid(&process.cgroup).unwrap_or_default());
        attributes.text(HOST_NAME, host.map(|host| host.name.as_str()).unwrap_or_default());
        attributes.text(OS_TYPE, "linux");
        for (key, value) in process.pod.as_deref().map(pod::attributes).unwrap_or_default() {
            attributes.set(Cow::Owned(key), value);
        }
        for (key, value) in own {
            attributes.set(Cow::Owned(key), Value::String(Cow::Owned(value)));
        }
        attributes.text(SERVICE_NAME, &service_name);
        attributes.text(DISTRO_NAME, "geophone");
        attributes.text(DISTRO_VERSION, env!("CARGO_PKG_VERSION"));

        let Attributes(mut attributes) = attributes;
        attributes.sort_by(|left, right| left.key.cmp(&right.key));
        Self {
            service_name,
            pid: process.key.pid,
            attributes,
        }
    }

    /// Describes geophone itself.
    pub fn of_geophone(host: Option<&Host>) -> Self {
        let service_name = "geophone".to_owned();
        let pid = std::process::id();
        let mut attributes = Attributes(Vec::new());
        attributes.text(HOST_NAME, host.map(|host| host.name.as_str()).unwrap_or_default());
        attributes.text(OS_TYPE, "linux");
        attributes.number(PROCESS_PID, pid);
        attributes.text(SERVICE_NAME, &service_name);
        attributes.text(SERVICE_VERSION, env!("CARGO_PKG_VERSION"));
        let Attributes(mut attributes) = attributes;
        attributes.sort_by(|left, right| left.key.cmp(&right.key));
        Self {
            service_name,
            pid,
            attributes,
        }
    }

    /// Reads an attribute.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let attribute = self.attributes.iter().find(|attribute| attribute.key == key)?;
        Some(&attribute.value)
    }
}

/// `OTEL_SERVICE_NAME`, else `service.name` of the process's own attributes, else the name of what its pod belongs to,
/// else told from what it runs.
fn service_name(process: &Process, own: &[(String, String)]) -> String {
    if let Some(name) = environment::service_name(&process.environment) {
        return name.to_owned();
    }
    match own
        .iter()
        .find(|(key, value)| key == SERVICE_NAME && !value.is_empty())
    {
        Some((_, name)) => name.clone(),
        None => match process.pod.as_deref().and_then(pod::service_name) {
            Some(name) => name.to_owned(),
            None => service::name(&process.executable, &process.command_line),
        },
    }
}

/// The first argument. A process that rewrote its title has a whole sentence there, of which the first word is taken.
fn command(command_line: &[String]) -> &str {
    match command_line {
        [] => "",
        [title] => title.split_whitespace().next().unwrap_or_default(),
        [command, ..] => command,
    }
}

/// Attributes in the making: the last of a key wins, an empty text is none.
struct Attributes(Vec<ResourceAttribute>);

impl Attributes {
    fn text(&mut self, key: &'static str, value: &str) {
        if !value.is_empty() {
            self.set(Cow::Borrowed(key), Value::String(Cow::Owned(value.to_owned())));
        }
    }

    fn number(&mut self, key: &'static str, value: u32) {
        self.set(Cow::Borrowed(key), Value::Int(i64::from(value)));
    }

    fn set(&mut self, key: Cow<'static, str>, value: Value) {
        match self.0.iter_mut().find(|attribute| attribute.key == key) {
            Some(attribute) => attribute.value = value,
            None => self.0.push(ResourceAttribute { key, value }),
        }
    }
}

/// The resource of every process, made when it is first asked for.
#[derive(Debug, Default)]
pub struct Resources {
    host: Option<Host>,
    pub(super) known: HashMap<ProcessKey, (Arc<Process>, Arc<Resource>)>,
}

impl Resources {
    /// Sets the machine that the processes run on.
    pub fn host(&mut self, host: &Host) {
        let same_name = self.host.as_ref().is_some_and(|known| known.name == host.name);
        if !same_name {
            self.known.clear();
        }
        self.host = Some(host.clone());
    }

    /// The machine, if it was told.
    pub fn machine(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    /// The resource of a process. After `execve` the same process is described anew.
    pub fn of(&mut self, process: &Arc<Process>) -> Arc<Resource> {
        if let Some((known, resource)) = self.known.get(&process.key)
            && (Arc::ptr_eq(known, process) || known == process)
        {
            return Arc::clone(resource);
        }
        if self.known.len() >= CACHED_MAX {
            self.known.clear();
        }
        let resource = Arc::new(Resource::of(process, self.host.as_ref()));
        self.known
            .insert(process.key, (Arc::clone(process), Arc::clone(&resource)));
        resource
    }
}
