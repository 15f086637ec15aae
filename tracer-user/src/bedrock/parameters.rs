//! Inference parameters, in every spelling that the families use.

use super::json::Json;

/// What the request asks of the model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameters {
    /// Most tokens to answer with.
    pub max_tokens: Option<u64>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    pub top_p: Option<f64>,
    /// Sampling from the best k.
    pub top_k: Option<f64>,
    /// Texts that end the answer.
    pub stop_sequences: Vec<String>,
    /// Seed of the sampler.
    pub seed: Option<i64>,
    /// How many answers.
    pub choice_count: Option<u64>,
    /// Penalty on frequent tokens.
    pub frequency_penalty: Option<f64>,
    /// Penalty on tokens already there.
    pub presence_penalty: Option<f64>,
    /// Effort of reasoning, in the provider's words.
    pub reasoning_level: Option<String>,
    /// Form asked for.
    pub output: Option<OutputType>,
    /// Dimensions of a vector.
    pub dimensions: Option<u64>,
    /// Forms of a vector.
    pub encoding_formats: Vec<String>,
}

/// Form of the answer asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputType {
    /// Plain text.
    Text,
    /// JSON, perhaps by a schema.
    Json,
    /// An image.
    Image,
    /// Speech.
    Speech,
}

impl Parameters {
    /// Takes a member of a body, or of the object that holds a family's parameters, if its name is that of a parameter.
    pub fn take(&mut self, name: &str, value: Json<'_>) {
        match name {
            "maxTokens"
            | "max_tokens"
            | "max_tokens_to_sample"
            | "max_gen_len"
            | "max_new_tokens"
            | "maxTokenCount"
            | "max_completion_tokens"
            | "max_output_tokens"
            | "maxOutputTokens" => {
                set(&mut self.max_tokens, value.count());
            }
            "temperature" => set(&mut self.temperature, value.number()),
            "topP" | "top_p" => set(&mut self.top_p, value.number()),
            "topK" | "top_k" => set(&mut self.top_k, value.number()),
            "stopSequences" | "stop_sequences" | "stop" => {
                let texts = value.texts();
                if !texts.is_empty() {
                    self.stop_sequences = texts;
                }
            }
            "seed" => set(&mut self.seed, value.integer()),
            "n" | "num_generations" | "numResults" | "numberOfImages" => {
                set(&mut self.choice_count, value.count());
            }
            // AI21 wraps its penalties: `{"scale": 1}`.
            "frequency_penalty" | "frequencyPenalty" => {
                set(&mut self.frequency_penalty, penalty(value));
            }
            "presence_penalty" | "presencePenalty" => {
                set(&mut self.presence_penalty, penalty(value));
            }
            "dimensions" | "output_dimension" | "outputEmbeddingLength" | "embeddingDimension" => {
                set(&mut self.dimensions, value.count());
            }
            "embeddingTypes" | "embedding_types" => self.encoding_formats = value.texts(),
            // Nova's place for it.
            "reasoningConfig" => set(
                &mut self.reasoning_level,
                value.member("maxReasoningEffort").and_then(Json::text),
            ),
            "reasoning_effort" => set(&mut self.reasoning_level, value.text()),
            "output_config" | "outputConfig" => {
                set(
                    &mut self.reasoning_level,
                    value.member("effort").and_then(Json::text),
                );
                if value.member("textFormat").is_some_and(Json::is_object) {
                    self.output = Some(OutputType::Json);
                }
            }
            "response_format" => {
                let form = value.member("type").and_then(Json::text);
                self.output = match form.as_deref() {
                    Some("text") => Some(OutputType::Text),
                    Some(form) if form.starts_with("json") => Some(OutputType::Json),
                    _ => self.output,
                };
            }
            _ => {}
        }
    }

    /// Fills what is unknown here from another source.
    pub fn fill(&mut self, other: Parameters) {
        let Parameters {
            max_tokens,
            temperature,
            top_p,
            top_k,
            stop_sequences,
            seed,
            choice_count,
            frequency_penalty,
            presence_penalty,
            reasoning_level,
            output,
            dimensions,
            encoding_formats,
        } = other;
        self.max_tokens = self.max_tokens.or(max_tokens);
        self.temperature = self.temperature.or(temperature);
        self.top_p = self.top_p.or(top_p);
        self.top_k = self.top_k.or(top_k);
        if self.stop_sequences.is_empty() {
            self.stop_sequences = stop_sequences;
        }
        self.seed = self.seed.or(seed);
        self.choice_count = self.choice_count.or(choice_count);
        self.frequency_penalty = self.frequency_penalty.or(frequency_penalty);
        self.presence_penalty = self.presence_penalty.or(presence_penalty);
        if self.reasoning_level.is_none() {
            self.reasoning_level = reasoning_level;
        }
        self.output = self.output.or(output);
        self.dimensions = self.dimensions.or(dimensions);
        if self.encoding_formats.is_empty() {
            self.encoding_formats = encoding_formats;
        }
    }

    /// Takes every member of an object.
    pub fn take_all(&mut self, object: Json<'_>) {
        let _broken = object.members(|name, value| self.take(name, value));
    }
}

fn penalty(value: Json<'_>) -> Option<f64> {
    value
        .number()
        .or_else(|| value.member("scale").and_then(Json::number))
}

/// A value that is not of the right type takes nothing away.
fn set<T>(place: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *place = value;
    }
}
