//! What the call costs, or why that is not told.

use crate::genai::cost::{Charge, dollars};
use crate::genai::semconv;

use super::{List, Subject};

pub(super) fn add(list: &mut List, subject: Subject<'_>) {
    let Subject { call, options, .. } = subject;
    let Some(prices) = &options.prices else {
        return;
    };
    match prices.charge(call) {
        Charge::Priced(cost) => list.double(semconv::COST_USD, Some(dollars(cost.total()))),
        Charge::Refused(reason) => list.text(semconv::COST_UNPRICED, Some(reason.name())),
        Charge::Nothing => {}
    }
}
