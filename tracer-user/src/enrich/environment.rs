//! The environment variables by which a process describes itself.
//!
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#general-sdk-configuration>

use percent_encoding::percent_decode_str;

/// `OTEL_SERVICE_NAME`: the name of the service; goes before `service.name` in the attributes.
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";

/// `OTEL_RESOURCE_ATTRIBUTES`: `key=value,key=value`, percent-encoded as in W3C Baggage.
const RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// Most attributes taken from one process: its environment is not ours to trust.
const ATTRIBUTES_MAX: usize = 128;

/// Longest value taken, in bytes.
const VALUE_LENGTH_MAX: usize = 4096;

/// The service name that the process was given, when there is one.
pub(super) fn service_name(environment: &[(String, String)]) -> Option<&str> {
    variable(environment, SERVICE_NAME)
}

/// The attributes that the process was given, in their order, the last of a key that comes twice.
///
/// The specification would have the whole variable thrown away when one entry is bad. Here only the bad entry is: a
/// stray comma must not cost the name of a service.
pub(super) fn resource_attributes(environment: &[(String, String)]) -> Vec<(String, String)> {
    let mut attributes: Vec<(String, String)> = Vec::new();
    let entries = variable(environment, RESOURCE_ATTRIBUTES)
        .unwrap_or_default()
        .split(',');
    for (key, value) in entries.filter_map(parse_entry) {
        if let Some((_, known)) = attributes.iter_mut().find(|(known, _)| *known == key) {
            *known = value;
        } else if attributes.len() < ATTRIBUTES_MAX {
            attributes.push((key, value));
        }
    }
    attributes
}

/// An unset and an empty variable are the same, as the specification asks.
fn variable<'a>(environment: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let (_, value) = environment.iter().find(|(known, _)| known == name)?;
    let value = value.trim();
    (!value.is_empty()).then_some(value)
}

/// `key=value`, where a W3C Baggage `;property` behind the value says nothing about a resource.
fn parse_entry(entry: &str) -> Option<(String, String)> {
    let (key, value) = entry.split_once('=')?;
    let value = value.split_once(';').map_or(value, |(value, _)| value);
    let (key, value) = (decode(key)?, decode(value)?);
    (!key.is_empty() && value.len() <= VALUE_LENGTH_MAX).then_some((key, value))
}

fn decode(text: &str) -> Option<String> {
    let text = percent_decode_str(text.trim()).decode_utf8().ok()?;
    Some(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::{ATTRIBUTES_MAX, resource_attributes, service_name};

    fn environment(value: &str) -> Vec<(String, String)> {
        vec![("OTEL_RESOURCE_ATTRIBUTES".to_owned(), value.to_owned())]
    }

    fn attributes(value: &str) -> Vec<(String, String)> {
        resource_attributes(&environment(value))
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn attributes_are_taken_as_the_kubernetes_operator_writes_them() {
        let value = "k8s.pod.name=chat-7d9f-x2x,k8s.namespace.name=agents, service.version=1.4.0 ";
        assert_eq!(
            attributes(value),
            [
                pair("k8s.pod.name", "chat-7d9f-x2x"),
                pair("k8s.namespace.name", "agents"),
                pair("service.version", "1.4.0"),
            ]
        );
    }

    #[test]
    fn percent_encoding_is_undone_in_keys_and_values() {
        assert_eq!(
            attributes("team=R%26D%2C%20Z%C3%BCrich,a%20b=c%3Dd"),
            [pair("team", "R&D, Zürich"), pair("a b", "c=d")]
        );
    }

    #[test]
    fn a_bad_entry_is_skipped_and_the_others_stay() {
        assert_eq!(
            attributes("no-equals-sign,=no-key,ok=1,,broken=%FF%FE,also.ok=a=b;ttl=3"),
            [pair("ok", "1"), pair("also.ok", "a=b")]
        );
    }

    #[test]
    fn the_last_of_two_equal_keys_wins() {
        assert_eq!(attributes("a=1,b=2,a=3"), [pair("a", "3"), pair("b", "2")]);
    }

    #[test]
    fn a_hostile_environment_stays_within_bounds() {
        let many: Vec<String> = (0..10_000).map(|number| format!("k{number}=v")).collect();
        assert_eq!(attributes(&many.join(",")).len(), ATTRIBUTES_MAX);
        assert_eq!(attributes(&format!("long={}", "x".repeat(100_000))), []);
    }

    #[test]
    fn an_empty_service_name_is_as_good_as_none() {
        assert_eq!(service_name(&[pair("OTEL_SERVICE_NAME", "  ")]), None);
        assert_eq!(service_name(&[pair("OTEL_SERVICE_NAME", "chat")]), Some("chat"));
        assert_eq!(service_name(&[]), None);
    }
}
