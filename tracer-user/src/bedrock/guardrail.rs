//! A guardrail: which was asked for, whether it stepped in, and what it found (`GuardrailAssessment` of the service model).
//!
//! What it found is told by the names of its own rules, never by the words that matched them.

use super::json::Json;

/// Most findings kept of one call.
const MAX_FINDINGS: usize = 64;

/// Most policies of which the units are kept.
const MAX_UNITS: usize = 32;

/// A guardrail and what it did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Guardrail {
    /// Id or ARN in the request.
    pub id: Option<String>,
    /// Version in the request.
    pub version: Option<String>,
    /// Whether it stepped in, where the answer says so.
    pub intervened: Option<bool>,
    /// Why, in the service's words.
    pub reason: Option<String>,
    /// What it found: policy, rule, and what was done about it, `content:VIOLENCE:BLOCKED`.
    pub findings: Vec<String>,
    /// Units of text it looked at, by policy.
    pub units: Vec<(String, u64)>,
    /// Milliseconds it took, of several assessments the sum.
    pub latency_ms: Option<u64>,
    /// Whether it looked at an input or an output, where a request says so.
    pub source: Option<String>,
}

impl Guardrail {
    /// A request's configuration (`GuardrailConfiguration`).
    pub(super) fn take_config(&mut self, config: Json<'_>) {
        let _broken = config.members(|name, value| match name {
            "guardrailIdentifier" => set(&mut self.id, value.text()),
            "guardrailVersion" => set(&mut self.version, value.text()),
            _ => {}
        });
    }

    /// A trace: `trace.guardrail` of Converse, `amazon-bedrock-trace.guardrail` of `InvokeModel`, which names its members a
    /// little differently.
    pub(super) fn take_trace(&mut self, trace: Json<'_>) {
        let _broken = trace.members(|name, value| match name {
            "inputAssessment" | "input" | "outputAssessments" | "outputs" => self.assessments(value),
            "actionReason" => set(&mut self.reason, value.text()),
            _ => {}
        });
    }

    /// Assessments in a list, or by the ids of their guardrails, or lists of them by those ids.
    fn assessments(&mut self, value: Json<'_>) {
        if value.is_array() {
            let _broken = value.items(|one| {
                let is_one = one.members(|_, _| ()).is_ok() && is_assessment(one);
                if is_one {
                    self.assessment(one);
                } else {
                    self.by_guardrail(one);
                }
            });
        } else {
            self.by_guardrail(value);
        }
    }

    fn by_guardrail(&mut self, object: Json<'_>) {
        let _broken = object.members(|_, value| {
            if value.is_array() {
                let _broken = value.items(|one| self.assessment(one));
            } else {
                self.assessment(value);
            }
        });
    }

    /// What one look at a text found.
    pub(super) fn assessment(&mut self, assessment: Json<'_>) {
        let _broken = assessment.members(|name, value| match name {
            "topicPolicy" => self.found(value, "topics", "topic", "name"),
            "contentPolicy" => self.found(value, "filters", "content", "type"),
            "contextualGroundingPolicy" => self.found(value, "filters", "grounding", "type"),
            "wordPolicy" => {
                // A word of one's own has no name but itself.
                self.found(value, "customWords", "word", "");
                self.found(value, "managedWordLists", "word", "type");
            }
            "sensitiveInformationPolicy" => {
                self.found(value, "piiEntities", "pii", "type");
                self.found(value, "regexes", "regex", "name");
            }
            "automatedReasoningPolicy" => {
                if let Some(findings) = value.member("findings") {
                    let _broken = findings.items(|finding| {
                        let _broken = finding.members(|kind, _| self.push(format!("reasoning:{kind}")));
                    });
                }
            }
            "invocationMetrics" => {
                let _broken = value.members(|name, value| match name {
                    "guardrailProcessingLatency" => {
                        if let Some(latency) = value.count() {
                            self.latency_ms = Some(self.latency_ms.unwrap_or(0).saturating_add(latency));
                        }
                    }
                    "usage" => self.usage(value),
                    _ => {}
                });
            }
            "appliedGuardrailDetails" => {
                let _broken = value.members(|name, value| match name {
                    "guardrailId" if self.id.is_none() => self.id = value.text(),
                    "guardrailVersion" if self.version.is_none() => self.version = value.text(),
                    _ => {}
                });
            }
            _ => {}
        });
    }

    /// Findings of one policy. Without a name the rule is the user's own and has none that may be told.
    fn found(&mut self, policy: Json<'_>, list: &str, kind: &str, name: &str) {
        let Some(list) = policy.member(list) else {
            return;
        };
        let _broken = list.items(|one| {
            let action = one.member("action").and_then(Json::text);
            let detected = one.member("detected").and_then(Json::truth) == Some(true);
            let acted = action.as_deref().is_some_and(|action| action != "NONE");
            if !acted && !detected {
                return;
            }
            if acted {
                self.intervened = Some(true);
            }
            let rule = one.member(name).and_then(Json::text);
            self.push(format!(
                "{kind}:{}:{}",
                rule.as_deref().unwrap_or("custom"),
                action.as_deref().unwrap_or("NONE")
            ));
        });
    }

    fn push(&mut self, finding: String) {
        if self.findings.len() < MAX_FINDINGS && !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Units by policy: `topicPolicyUnits` of `ApplyGuardrail`, `contentFilter.textUnits` of the checks without a guardrail.
    pub(super) fn usage(&mut self, usage: Json<'_>) {
        let _broken = usage.members(|name, value| {
            let units = value
                .count()
                .or_else(|| value.member("textUnits").and_then(Json::count));
            let Some(units) = units.filter(|units| *units > 0) else {
                return;
            };
            let policy = name.strip_suffix("Units").unwrap_or(name);
            if let Some((_, known)) = self.units.iter_mut().find(|(known, _)| known == policy) {
                *known = known.saturating_add(units);
            } else if self.units.len() < MAX_UNITS {
                self.units.push((policy.to_owned(), units));
            }
        });
    }
}

/// Whether an object is an assessment itself, and not a guardrail's name for one.
fn is_assessment(value: Json<'_>) -> bool {
    let mut is_one = false;
    let _broken = value.members(|name, _| {
        is_one |= name.ends_with("Policy") || matches!(name, "invocationMetrics" | "appliedGuardrailDetails");
    });
    is_one
}

/// A value of the wrong type takes nothing away.
fn set<T>(place: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSESSMENT: &str = r#"{
        "topicPolicy": {"topics": [{"name": "Investment", "type": "DENY", "action": "BLOCKED", "detected": true}]},
        "contentPolicy": {"filters": [{"type": "VIOLENCE", "confidence": "HIGH", "action": "NONE", "detected": true},
            {"type": "HATE", "confidence": "NONE", "action": "NONE", "detected": false}]},
        "wordPolicy": {"customWords": [{"match": "secret", "action": "BLOCKED"}],
            "managedWordLists": [{"match": "secret", "type": "PROFANITY", "action": "BLOCKED"}]},
        "sensitiveInformationPolicy": {"piiEntities": [{"match": "secret@example.com", "type": "EMAIL", "action": "ANONYMIZED"},
            {"match": "secret2@example.com", "type": "EMAIL", "action": "ANONYMIZED"}],
            "regexes": [{"name": "Account", "match": "secret", "regex": "s.*", "action": "BLOCKED"}]},
        "contextualGroundingPolicy": {"filters": [{"type": "GROUNDING", "threshold": 0.7, "score": 0.1, "action": "BLOCKED"}]},
        "automatedReasoningPolicy": {"findings": [{"impossible": {"secret": 1}}]},
        "invocationMetrics": {"guardrailProcessingLatency": 120.0, "usage": {"topicPolicyUnits": 1, "wordPolicyUnits": 0}},
        "appliedGuardrailDetails": {"guardrailId": "gr-1", "guardrailVersion": "2"}}"#;

    const FINDINGS: [&str; 8] = [
        "topic:Investment:BLOCKED",
        "content:VIOLENCE:NONE",
        "word:custom:BLOCKED",
        "word:PROFANITY:BLOCKED",
        "pii:EMAIL:ANONYMIZED",
        "regex:Account:BLOCKED",
        "grounding:GROUNDING:BLOCKED",
        "reasoning:impossible",
    ];

    #[test]
    fn findings_go_by_their_rules_and_never_by_the_words_that_matched() {
        let mut guardrail = Guardrail::default();
        guardrail.assessment(Json::new(ASSESSMENT));
        assert_eq!(guardrail.findings, FINDINGS);
        assert_eq!(guardrail.intervened, Some(true));
        assert_eq!(guardrail.units, [("topicPolicy".to_owned(), 1)]);
        assert_eq!(guardrail.latency_ms, Some(120));
        assert_eq!(guardrail.id.as_deref(), Some("gr-1"));
        assert!(!format!("{guardrail:?}").contains("secret"));
    }

    #[test]
    fn traces_of_both_shapes_hold_assessments_by_guardrail() {
        for trace in [
            format!(
                r#"{{"inputAssessment": {{"gr-1": {ASSESSMENT}}}, "actionReason": "Guardrail blocked.", "modelOutput": ["secret"]}}"#
            ),
            format!(
                r#"{{"outputAssessments": {{"gr-1": [{ASSESSMENT}]}}, "actionReason": "Guardrail blocked."}}"#
            ),
            format!(r#"{{"input": {{"gr-1": {ASSESSMENT}}}, "actionReason": "Guardrail blocked."}}"#),
            format!(r#"{{"outputs": [{{"gr-1": {ASSESSMENT}}}], "actionReason": "Guardrail blocked."}}"#),
            format!(r#"{{"outputs": [{ASSESSMENT}], "actionReason": "Guardrail blocked."}}"#),
        ] {
            let mut guardrail = Guardrail::default();
            guardrail.take_trace(Json::new(&trace));
            assert_eq!(guardrail.findings, FINDINGS, "{trace}");
            assert_eq!(guardrail.reason.as_deref(), Some("Guardrail blocked."));
        }
    }

    #[test]
    fn nothing_found_is_no_intervention() {
        let mut guardrail = Guardrail::default();
        guardrail.take_trace(Json::new(
            r#"{"inputAssessment": {"gr-1": {"contentPolicy": {"filters": []}, "wordPolicy": 5}}, "outputs": [7, null]}"#,
        ));
        assert_eq!(guardrail.intervened, None);
        assert!(guardrail.findings.is_empty());
    }
}
