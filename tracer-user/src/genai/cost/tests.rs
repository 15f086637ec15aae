//! Calls and their bills.

use super::{Charge, Cost, Prices, PricesError, Unpriced, dollars};
use crate::bedrock::Call;
use crate::bedrock::tests::Play;

const TABLE: &str = r#"
date = "2026-11-20"
price = [
  { model = "acme.large-v1:0", input = 3.0, output = 15.0, cache_read = 0.3, cache_write = 3.75, cache_write_1h = 6.0,
    flex = { input = 1.5, output = 7.5 }, long = { above = 200000, input = 6.0, output = 22.5 } },
  { model = "us.acme.large-v1:0", input = 3.3, output = 16.5 },
  { model = "acme.small-v1:0", input = 1, output = 2 },
  { model = "acme.small-v1:0", region = "eu-west-1", input = 1.1, output = 2.2 },
  { model = "us.acme.small-v1:0", input = 1, output = 2 },
  { model = "acme.embed-v1", input = 0.02 },
]
"#;

fn table() -> Prices {
    Prices::parse(TABLE).expect("a table as the documentation shows it")
}

/// A call of Converse with members of `usage`, and more members of the answer.
fn call(model: &str, usage: &str, more: &str) -> Call {
    call_at("bedrock-runtime.us-east-1.amazonaws.com", model, usage, more)
}

fn call_at(host: &str, model: &str, usage: &str, more: &str) -> Call {
    let path = model.replace('%', "%25").replace(':', "%3A").replace('/', "%2F");
    Play::new("POST", &format!("/model/{path}/converse"))
        .host(host)
        .request("{}")
        .response(200, &[])
        .answer(&format!(
            r#"{{"output": {{}}, "stopReason": "end_turn", "usage": {{{usage}}}{more}}}"#
        ))
        .call()
}

const USAGE: &str = r#""inputTokens": 1000, "outputTokens": 100"#;

fn usd(charge: Charge) -> f64 {
    match charge {
        Charge::Priced(cost) => dollars(cost.total()),
        other => panic!("no price: {other:?}"),
    }
}

fn price(model: &str, usage: &str, more: &str) -> f64 {
    usd(table().charge(&call(model, usage, more)))
}

fn refusal(model: &str, more: &str) -> Option<Unpriced> {
    match table().charge(&call(model, USAGE, more)) {
        Charge::Refused(reason) => Some(reason),
        Charge::Priced(_) | Charge::Nothing => None,
    }
}

#[test]
fn every_kind_of_token_is_paid_apart() {
    let usage = r#""inputTokens": 10, "outputTokens": 20, "cacheReadInputTokens": 1000,
        "cacheWriteInputTokens": 300, "cacheDetails": [{"ttl": "5m", "inputTokens": 200}, {"ttl": "1h", "inputTokens": 100}]"#;
    assert_eq!(
        table().charge(&call("acme.large-v1:0", usage, "")),
        Charge::Priced(Cost {
            input: 30_000_000,
            output: 300_000_000,
            cache_read: 300_000_000,
            cache_write: 200 * 3_750_000 + 100 * 6_000_000,
        })
    );
}

#[test]
fn a_long_prompt_is_dearer_as_a_whole() {
    let usage = r#""inputTokens": 1000, "outputTokens": 0, "cacheReadInputTokens": 0"#;
    assert!((price("acme.large-v1:0", usage, "") - 0.003).abs() < 1e-12);
    let usage = r#""inputTokens": 200001, "outputTokens": 0"#;
    assert!((price("acme.large-v1:0", usage, "") - 1.200_006).abs() < 1e-12);
}

#[test]
fn profiles_and_regions_have_prices_of_their_own_where_the_table_says_so() {
    let eu = "bedrock-runtime.eu-west-1.amazonaws.com";
    let arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.acme.large-v1:0";
    assert!((price("us.acme.large-v1:0", USAGE, "") - 0.004_95).abs() < 1e-12);
    assert!((price(arn, USAGE, "") - 0.004_95).abs() < 1e-12);
    // Other profiles of this model may differ as well, and by how much is not known.
    assert_eq!(refusal("eu.acme.large-v1:0", ""), Some(Unpriced::NoPrice));
    // All known profiles of this one cost what the model does.
    assert!((price("apac.acme.small-v1:0", USAGE, "") - 0.0012).abs() < 1e-12);
    let in_europe = call_at(eu, "acme.small-v1:0", USAGE, "");
    assert!((usd(table().charge(&in_europe)) - 0.001_32).abs() < 1e-12);
    let gov = call_at(
        "bedrock-runtime.us-gov-west-1.amazonaws.com",
        "acme.small-v1:0",
        USAGE,
        "",
    );
    assert_eq!(table().charge(&gov), Charge::Refused(Unpriced::NoPrice));
}

#[test]
fn tiers_are_paid_apart_or_not_at_all() {
    let tier = |name| format!(r#", "serviceTier": {{"type": "{name}"}}"#);
    assert!((price("acme.large-v1:0", USAGE, &tier("flex")) - 0.002_25).abs() < 1e-12);
    assert!((price("acme.large-v1:0", USAGE, &tier("default")) - 0.0045).abs() < 1e-12);
    assert_eq!(
        refusal("acme.large-v1:0", &tier("priority")),
        Some(Unpriced::NoPrice)
    );
    assert_eq!(
        refusal("acme.large-v1:0", &tier("reserved")),
        Some(Unpriced::ReservedTier)
    );
    assert_eq!(
        refusal(
            "acme.large-v1:0",
            r#", "performanceConfig": {"latency": "optimized"}"#
        ),
        Some(Unpriced::LatencyOptimised)
    );
}

#[test]
fn what_is_not_paid_by_known_tokens_is_refused_with_the_reason() {
    let arn = |kind: &str| format!("arn:aws:bedrock:us-east-1:123456789012:{kind}/abc");
    for (model, reason) in [
        (arn("provisioned-model"), Unpriced::ProvisionedThroughput),
        (arn("custom-model"), Unpriced::CustomModel),
        (arn("custom-model-deployment"), Unpriced::CustomModel),
        (arn("imported-model"), Unpriced::ImportedModel),
        (arn("application-inference-profile"), Unpriced::ApplicationProfile),
        (arn("prompt"), Unpriced::ManagedPrompt),
        (arn("default-prompt-router"), Unpriced::ModelUnknown),
        (
            "arn:aws:sagemaker:us-east-1:123456789012:endpoint/e".to_owned(),
            Unpriced::MarketplaceEndpoint,
        ),
        ("acme.unheard-of-v1".to_owned(), Unpriced::NoPrice),
    ] {
        assert_eq!(refusal(&model, ""), Some(reason), "{model}");
    }
    let silent = call("acme.large-v1:0", "", "");
    assert_eq!(table().charge(&silent), Charge::Refused(Unpriced::UsageUnknown));
}

#[test]
fn a_router_costs_what_the_model_it_chose_does() {
    let router = "arn:aws:bedrock:us-east-1:123456789012:default-prompt-router/acme.router:1";
    let chose = r#", "trace": {"promptRouter": {"invokedModelId":
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.acme.large-v1:0"}}"#;
    assert!((price(router, USAGE, chose) - 0.004_95).abs() < 1e-12);
}

#[test]
fn an_account_may_price_its_own_profiles() {
    let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
    let own = format!("price = [{{ model = \"{arn}\", input = 2.0, output = 10.0 }}]");
    let own = Prices::parse(&own).expect("a table");
    let prices = table().overlaid(own);
    assert!((usd(prices.charge(&call(arn, USAGE, ""))) - 0.003).abs() < 1e-12);
    assert!((usd(prices.charge(&call("acme.small-v1:0", USAGE, ""))) - 0.0012).abs() < 1e-12);
}

#[test]
fn a_refused_call_and_an_auxiliary_one_cost_nothing() {
    let refused = Play::converse()
        .request("{}")
        .response(429, &[("x-amzn-ErrorType", "ThrottlingException")])
        .answer("{}")
        .call();
    assert_eq!(table().charge(&refused), Charge::Nothing);
}

#[test]
fn embeddings_are_paid_by_input_alone() {
    let embedded = Play::invoke("acme.embed-v1")
        .request(r#"{"inputText": "x"}"#)
        .response(200, &[("x-amzn-bedrock-input-token-count", "1000")])
        .answer(r#"{"embedding": [0.1]}"#)
        .call();
    assert_eq!(embedded.task, Some(crate::bedrock::family::Task::Embedding));
    assert!((usd(table().charge(&embedded)) - 0.000_02).abs() < 1e-12);
}

#[test]
fn the_table_of_litellm_is_understood() {
    let prices = Prices::parse(
        r#"{"sample_spec": {"litellm_provider": "one of ...", "input_cost_per_token": 0.0},
            "gpt-9": {"litellm_provider": "openai", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06},
            "acme.large-v1:0": {"litellm_provider": "bedrock_converse", "mode": "chat", "input_cost_per_token": 3e-06,
                "output_cost_per_token": 1.5e-05, "cache_read_input_token_cost": 3e-07,
                "cache_creation_input_token_cost": 3.75e-06, "cache_creation_input_token_cost_above_1hr": 6e-06,
                "input_cost_per_token_above_200k_tokens": 6e-06, "output_cost_per_token_above_200k_tokens": 2.25e-05,
                "input_cost_per_token_flex": 1.5e-06, "output_cost_per_token_flex": 7.5e-06},
            "us.acme.large-v1:0": {"litellm_provider": "bedrock_converse", "mode": "chat", "input_cost_per_token": 3.3e-06,
                "output_cost_per_token": 1.65e-05},
            "acme.small-v1:0": {"litellm_provider": "bedrock", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06},
            "us.acme.small-v1:0": {"litellm_provider": "bedrock", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06},
            "bedrock/eu-west-1/acme.small-v1:0": {"litellm_provider": "bedrock", "input_cost_per_token": 1.1e-06, "output_cost_per_token": 2.2e-06},
            "bedrock/eu-west-1/1-month-commitment/acme.small-v1:0": {"litellm_provider": "bedrock", "input_cost_per_second": 0.1},
            "acme.embed-v1": {"litellm_provider": "bedrock", "mode": "embedding", "input_cost_per_token": 2e-08}}"#,
    )
    .expect("the table of LiteLLM");
    assert_eq!(prices.len(), table().len());
    let embed_aside = |prices: Prices| format!("{prices:?}").replace("output: Some(0)", "output: None");
    let mut ours = table();
    ours.set_date(None);
    assert_eq!(embed_aside(prices), embed_aside(ours));
}

#[test]
fn a_bad_table_says_where_and_what() {
    let error = |text: &str| Prices::parse(text).expect_err("a bad table").to_string();
    assert_eq!(
        error("price = [\n  { model = \"a.b\", inptu = 3.0 },\n]"),
        "line 2: unknown field `inptu`, expected one of `model`, `region`, `input`, `output`, `cache_read`, \
         `cache_write`, `cache_write_1h`, `flex`, `priority`, `batch`, `long`"
    );
    assert_eq!(
        error("price = [{ model = \"a.b\", flex = { input = -1 } }]"),
        "a.b: flex.input is -1, which is no price (USD per million tokens, zero or more)"
    );
    assert!(error("{\"a\": \n oops}").starts_with("line 2: "));
    assert_eq!(
        error(r#"{"a.b": {"litellm_provider": "bedrock", "input_cost_per_token": "free"}}"#),
        "a.b: input_cost_per_token is \"free\", which is no price (USD per token, zero or more)"
    );
    assert_eq!(
        Prices::parse(r#"{"gpt-9": {"litellm_provider": "openai"}}"#),
        Err(PricesError::Empty)
    );
}

#[test]
fn the_table_that_is_compiled_in_is_dated_and_whole() {
    let prices = Prices::compiled_in();
    assert_eq!(prices.date(), Some("2026-11-20"));
    assert!(prices.len() > 400, "{} rows", prices.len());
    // AWS's list: 0.06 USD and 0.24 USD per million tokens.
    let call = call("amazon.nova-lite-v1:0", USAGE, "");
    assert!((usd(prices.charge(&call)) - 0.000_084).abs() < 1e-12);
}
