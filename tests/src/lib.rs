//! Fake Bedrock.
