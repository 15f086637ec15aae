//! Bedrock: which operation an exchange is, and what it says.
