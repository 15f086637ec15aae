//! Blanks credentials in the plaintext before anything else sees it.
