//! The end of a call: heads, bodies and times become one [`Call`].

use crate::counters::Counter;
use crate::event::Monotonic;
use crate::http::Completion;

use super::super::agent::Settled;
use super::super::call::Call;
use super::super::family::Facts;
use super::super::session::Session;
use super::super::tool_results::ToolResults;
use super::Exchange;

impl Exchange {
    /// Puts the pieces into the call.
    pub(super) fn settle(
        self,
        completion: Completion,
        time: Monotonic,
        count: &mut dyn FnMut(Counter, u64),
    ) -> Call {
        let Self {
            mut call,
            keep: _,
            is_certain: _,
            first_chunk_missed: _,
            digester: _,
            tool_results,
            envelopes: _,
            request: _,
            answer: _,
            reading,
            headers,
            tier,
            chunks: _,
            frames_broken,
            bodies_unreadable,
            beyond_cap,
        } = self;
        let body_counts_first = reading.counts_better_than_metrics();
        // Where the path does not name the model, the body does.
        call.streaming |= reading.facts.asked_stream == Some(true);
        let unended = call.streaming && reading.lacks_stop_event();
        let (facts, answer_beyond_cap) = reading.finish();
        let Facts {
            parameters,
            task,
            asked_model,
            asked_stream: _,
            stop_reasons,
            stopped: _,
            response_id,
            response_model,
            tool_calls,
            counted_tokens,
            job,
            guardrail,
            server_latency_ms,
            mut usage,
            mut metrics,
            billing,
            error: _,
            spoke: _,
            ended: _,
            agent,
            session,
            content,
        } = facts;
        call.parameters = parameters;
        let named = &mut call.route.resource.model;
        *named = named.take().or(asked_model);
        call.task = call.task.or(task);
        call.stop_reasons = stop_reasons;
        call.response_id = response_id;
        call.response_model = response_model;
        call.tool_calls = tool_calls;
        call.tool_results = tool_results.map(ToolResults::finish).unwrap_or_default();
        call.counted_tokens = counted_tokens;
        call.job = job;
        call.guardrail = guardrail;
        call.server_latency_ms = server_latency_ms;
        call.billing = billing;
        // What a vendor's body calls its tier is the vendor's, and not what Bedrock bills.
        call.billing.tier = tier.or(billing.tier);
        // A count that runs with the answer is right with its end, not before.
        if unended {
            usage.output = None;
        }
        // Nor is the lesser source the right one where the better may have been missed.
        if body_counts_first && usage.output.is_none() && call.gaps.response_hole {
            metrics.output = None;
        }
        call.usage = headers.or(if body_counts_first {
            usage.or(metrics)
        } else {
            metrics.or(usage)
        });
        let Settled {
            facts: agent,
            knowledge_base,
            steps,
            usage: models_usage,
            failure,
            intervened,
            dropped,
        } = agent.settle((call.timings.request, time), call.failure.as_ref());
        call.agent = agent;
        let named = &mut call.route.resource.knowledge_base;
        *named = named.take().or(knowledge_base);
        call.steps = steps;
        // A sum of which parts may be missing is none.
        let partial =
            call.gaps.response_hole || call.gaps.undecodable || call.gaps.frames_broken || dropped > 0;
        if !partial {
            call.usage = call.usage.or(models_usage);
            call.guardrail.intervened = call.guardrail.intervened.or(intervened);
        } else if intervened == Some(true) {
            call.guardrail.intervened = intervened;
        }
        if partial && call.streaming {
            call.agent.retrieval.documents = None;
            call.agent.files = 0;
        }
        call.failure = call.failure.take().or(failure);
        call.gaps.beyond_cap |= beyond_cap > 0 || answer_beyond_cap || dropped > 0;
        Session::prefer(&mut call.session, session);
        call.content = content;
        call.completion = completion;
        call.timings.end = time;
        for (counter, number) in [
            (Counter::FramesBroken, frames_broken),
            (Counter::BodiesUnreadable, bodies_unreadable),
            (Counter::BodyBytesBeyondCap, beyond_cap),
            (Counter::StepsBeyondCap, dropped),
        ] {
            if number > 0 {
                count(counter, number);
            }
        }
        call
    }
}
