//! rustls inside programs of every build, under live probes.

use anyhow::{Context as _, Result};
use tracer_tests::calls::{repertoire, streams};
use tracer_tests::client::{Build, Http, Kind, Provider};
use tracer_tests::environment::can_trace;
use tracer_tests::fake::{Options, TlsVersions};
use tracer_tests::harness::{attach_in_the_middle, one_connection, prove};

const BUILDS: [Build; 4] = [Build::Debug, Build::Release, Build::Fat, Build::FatStripped];

/// The whole repertoire, then a hundred streams: over HTTP/2 on one connection.
fn every_build(provider: Provider, http: Http, options: &Options) -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    for build in BUILDS {
        let kind = Kind::Hyper(provider, build, http);
        prove(kind, options, &repertoire(), 6).with_context(|| format!("{kind:?}"))?;
        let served = prove(kind, options, &streams(100), 100).with_context(|| format!("{kind:?}"))?;
        if http == Http::Two {
            one_connection(&served)?;
        }
    }
    Ok(())
}

#[test]
fn ring_over_http1() -> Result<()> {
    every_build(Provider::Ring, Http::One, &Options::default())
}

#[test]
fn ring_over_http2() -> Result<()> {
    every_build(Provider::Ring, Http::Two, &Options::http2())
}

#[test]
fn aws_lc_over_http1() -> Result<()> {
    every_build(Provider::AwsLc, Http::One, &Options::default())
}

#[test]
fn aws_lc_over_http2() -> Result<()> {
    every_build(Provider::AwsLc, Http::Two, &Options::http2())
}

#[test]
fn both_over_tls_1_2() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    for provider in [Provider::Ring, Provider::AwsLc] {
        for (build, http) in [(Build::FatStripped, Http::One), (Build::Release, Http::Two)] {
            let kind = Kind::Hyper(provider, build, http);
            let options = Options {
                http2: http == Http::Two,
                tls: TlsVersions::Tls12,
                ..Options::default()
            };
            prove(kind, &options, &repertoire(), 6).with_context(|| format!("{kind:?}"))?;
        }
    }
    Ok(())
}

#[test]
fn awss_sdk_for_rust() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    for stripped in [false, true] {
        let kind = Kind::RustSdk { stripped };
        prove(kind, &Options::http2(), &repertoire(), 6)?;
        prove(kind, &Options::http2(), &streams(100), 100)?;
    }
    Ok(())
}

#[test]
fn attached_to_in_the_middle_of_a_connection() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    for kind in [
        Kind::Hyper(Provider::Ring, Build::FatStripped, Http::One),
        Kind::Hyper(Provider::AwsLc, Build::Release, Http::Two),
        Kind::RustSdk { stripped: true },
    ] {
        attach_in_the_middle(kind)?;
    }
    Ok(())
}
