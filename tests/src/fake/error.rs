//! Errors as bedrock-runtime words them: the type in `x-amzn-ErrorType`, the text in the body.

use super::scenario::Failure;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) message: String,
}

impl Refusal {
    /// The request is not what the operation takes.
    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self {
            status: 400,
            kind: "ValidationException",
            message: message.into(),
        }
    }

    /// The path is no operation.
    pub(super) fn unknown_operation() -> Self {
        Self {
            status: 404,
            kind: "UnknownOperationException",
            message: "The requested operation is not known to this service.".to_owned(),
        }
    }

    /// Nobody signed the request.
    pub(super) fn unsigned() -> Self {
        Self {
            status: 403,
            kind: "MissingAuthenticationTokenException",
            message: "Missing Authentication Token".to_owned(),
        }
    }

    /// The model identifier names nothing.
    pub(super) fn unknown_model() -> Self {
        Self::validation("The provided model identifier is invalid.")
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let (status, kind, message) = match failure {
            Failure::Validation => (400, "ValidationException", "The request was asked to fail."),
            Failure::AccessDenied => (
                403,
                "AccessDeniedException",
                "You don't have access to the model with the specified model ID.",
            ),
            Failure::ResourceNotFound => (
                404,
                "ResourceNotFoundException",
                "Could not resolve the foundation model from the provided model identifier.",
            ),
            Failure::ModelTimeout => (
                408,
                "ModelTimeoutException",
                "Model did not finish processing the request in time.",
            ),
            Failure::ModelError => (
                424,
                "ModelErrorException",
                "The system encountered an unexpected error during processing.",
            ),
            Failure::Throttling => (
                429,
                "ThrottlingException",
                "Too many requests, please wait before trying again.",
            ),
            Failure::Internal => (
                500,
                "InternalServerException",
                "The system encountered an unexpected error during processing. Try your request again.",
            ),
            Failure::Unavailable => (
                503,
                "ServiceUnavailableException",
                "Bedrock is unable to process your request.",
            ),
        };
        Self {
            status,
            kind,
            message: message.to_owned(),
        }
    }
}

impl Failure {
    /// Member name in the event stream (`:exception-type`) and its type, for the failures that a stream can end with.
    pub(super) fn in_stream(self) -> Option<(&'static str, &'static str)> {
        match self {
            Failure::Validation => Some(("validationException", "ValidationException")),
            Failure::ModelTimeout => Some(("modelTimeoutException", "ModelTimeoutException")),
            Failure::ModelError => Some(("modelStreamErrorException", "ModelStreamErrorException")),
            Failure::Throttling => Some(("throttlingException", "ThrottlingException")),
            Failure::Internal => Some(("internalServerException", "InternalServerException")),
            Failure::Unavailable => Some(("serviceUnavailableException", "ServiceUnavailableException")),
            Failure::AccessDenied | Failure::ResourceNotFound => None,
        }
    }
}
