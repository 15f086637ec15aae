//! Backends as they are met: fine, slow, dead, refusing.
