#![no_std]
//! Types shared by the kernel side and the user side.
