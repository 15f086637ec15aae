//! Who a process is, as the programs in the kernel read it in the process itself ([`record::Identity`]).

use tracer_common::record;
use zerocopy::FromBytes as _;

use super::process::{service_variables, strings};

/// What a process told of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Who made it.
    pub parent_pid: u32,
    /// The arguments, the program's name first.
    pub command_line: Vec<String>,
    /// Variables that name the service.
    pub environment: Vec<(String, String)>,
    /// Path of the control group of version 2, from the root.
    pub cgroup: String,
}

impl Identity {
    /// Reads the payload of a record. `None` for one that is cut short.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let (identity, text) = record::Identity::read_from_prefix(payload).ok()?;
        let record::Identity {
            parent,
            arguments,
            groups,
        } = identity;
        let (arguments, environment) = text.split_at_checked(usize::try_from(arguments).ok()?)?;
        // The last variable may be cut, and then says something else.
        let whole = environment
            .iter()
            .rposition(|byte| *byte == 0)
            .map_or(0, |end| end + 1);
        Some(Self {
            parent_pid: parent,
            command_line: strings(arguments)
                .map(|argument| String::from_utf8_lossy(argument).into_owned())
                .collect(),
            environment: service_variables(environment.get(..whole).unwrap_or_default()),
            cgroup: path(&groups),
        })
    }
}

/// The path that the names make, which go from the inside out and end with the root's, an empty one.
fn path(groups: &[[u8; record::GROUP_NAME]]) -> String {
    let names: Vec<&[u8]> = groups
        .iter()
        .map(|name| name.split(|byte| *byte == 0).next().unwrap_or_default())
        .take_while(|name| !name.is_empty())
        .collect();
    if names.is_empty() {
        return "/".to_owned();
    }
    names
        .into_iter()
        .rev()
        .flat_map(|name| ["/".into(), String::from_utf8_lossy(name)])
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::IntoBytes as _;

    use super::*;

    fn payload(groups: &[&str], arguments: &[u8], environment: &[u8]) -> Vec<u8> {
        let mut identity = record::Identity {
            parent: 7,
            arguments: u32::try_from(arguments.len()).unwrap(),
            groups: [[0; record::GROUP_NAME]; record::GROUPS],
        };
        for (place, name) in identity.groups.iter_mut().zip(groups) {
            place[..name.len()].copy_from_slice(name.as_bytes());
        }
        [identity.as_bytes(), arguments, environment].concat()
    }

    #[test]
    fn a_process_in_a_container_says_all_of_it() {
        let identity = Identity::read(&payload(
            &["docker-7f1c.scope", "system.slice"],
            b"python\0app.py\0",
            b"HOME=/root\0OTEL_SERVICE_NAME=billing\0AWS_SECRET_ACCESS_KEY=never kept\0",
        ))
        .unwrap();
        assert_eq!(
            identity,
            Identity {
                parent_pid: 7,
                command_line: vec!["python".to_owned(), "app.py".to_owned()],
                environment: vec![("OTEL_SERVICE_NAME".to_owned(), "billing".to_owned())],
                cgroup: "/system.slice/docker-7f1c.scope".to_owned(),
            }
        );
    }

    #[test]
    fn a_variable_that_is_cut_names_no_service() {
        let identity = Identity::read(&payload(&[], b"a\0", b"A=1\0OTEL_SERVICE_NAME=bil")).unwrap();
        assert_eq!((identity.environment, identity.cgroup.as_str()), (vec![], "/"));
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert!(Identity::read(&bytes).is_none_or(|_| bytes.len() >= size_of::<record::Identity>()));
        }
    }
}
