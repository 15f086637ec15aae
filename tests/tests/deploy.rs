//! What is deployed: rendered by kubectl and helm themselves, valid by the published schemas, and with no more rights than
//! are needed.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tracer_tests::environment::{deploy_tool, geophone, workspace};

/// Kubernetes from the oldest that has `appArmorProfile` to the newest whose schemas are published.
const VERSIONS: [&str; 3] = ["1.30", "1.34", "1.37"];

/// Where signs of life are, by whom they are asked for.
const PROBES: [(&str, &str); 2] = [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")];

/// All that the pod may do.
const CAPABILITIES: [&str; 5] = [
    "BPF",
    "PERFMON",
    "SYS_PTRACE",
    "DAC_READ_SEARCH",
    "CHECKPOINT_RESTORE",
];

fn deploy(folder: &str) -> PathBuf {
    workspace().join("deploy").join(folder)
}

/// What a program prints, provided that it succeeds.
fn said(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed:\n{stderr}");
    Ok(String::from_utf8(output.stdout)?)
}

fn kustomize(folder: &str) -> Result<String> {
    said(
        Command::new(deploy_tool("kubectl")?)
            .arg("kustomize")
            .arg(deploy(folder)),
    )
}

fn helm(release: &str, settings: &str) -> Result<String> {
    let mut command = Command::new(deploy_tool("helm")?);
    command
        .args(["template", release])
        .arg(deploy("helm/geophone"))
        .args(["--namespace", "tracing", "--set", settings]);
    said(&mut command)
}

/// The objects of a manifest.
fn objects(manifest: &str) -> Result<Vec<Value>> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("manifest.yaml");
    std::fs::write(&file, manifest)?;
    let script =
        "import json, sys, yaml; print(json.dumps([o for o in yaml.safe_load_all(open(sys.argv[1])) if o]))";
    let json = said(
        Command::new(deploy_tool("python")?)
            .args(["-c", script])
            .arg(&file),
    )?;
    Ok(serde_json::from_str(&json)?)
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects
        .iter()
        .find(|object| object["kind"] == kind)
        .unwrap_or_else(|| panic!("there is no {kind}"))
}

/// Wants a manifest to be what every version of Kubernetes takes, with no field that it does not know.
fn is_valid(manifest: &str) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("manifest.yaml");
    std::fs::write(&file, manifest)?;
    for version in VERSIONS {
        let mut validate = Command::new(deploy_tool("kubernetes-validate")?);
        validate.args(["--strict", "-k", version]).arg(&file);
        let output = validate.output()?;
        let said = [output.stdout, output.stderr].concat();
        ensure!(
            output.status.success(),
            "not valid in {version}:\n{}",
            String::from_utf8_lossy(&said)
        );
    }
    Ok(())
}

/// Wants a pod that has these rights and none beside them, and that can be asked how it is.
fn has_the_least_rights_and_is_watched(objects: &[Value]) {
    let pod = &of_kind(objects, "DaemonSet")["spec"]["template"]["spec"];
    assert_eq!(pod["hostPID"], true);
    assert_eq!(pod["automountServiceAccountToken"], true);
    let account = of_kind(objects, "ServiceAccount");
    assert_eq!(account["automountServiceAccountToken"], false);
    // They would be variables that begin as geophone's own do.
    assert_eq!(pod["enableServiceLinks"], false);
    for other in ["hostNetwork", "hostIPC"] {
        assert_eq!(pod[other], Value::Null, "{other}");
    }
    // Nothing of the node.
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        assert!(volume["configMap"].is_object(), "{volume}");
    }
    let container = &pod["containers"][0];
    for (probe, path) in PROBES {
        let asked = json!({"path": path, "port": container["ports"][0]["name"]});
        assert_eq!(container[probe]["httpGet"], asked, "{probe}");
    }
    let security = &container["securityContext"];
    assert_eq!(security["privileged"], false);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(
        security["capabilities"],
        json!({"drop": ["ALL"], "add": CAPABILITIES})
    );
    let rules = &of_kind(objects, "ClusterRole")["rules"];
    let pods_and_namespaces = json!([
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]}
    ]);
    assert_eq!(rules, &pods_and_namespaces);
}

#[test]
fn the_manifests_are_valid_and_ask_for_no_more_than_is_needed() -> Result<()> {
    let manifest = kustomize("kubernetes")?;
    is_valid(&manifest)?;
    has_the_least_rights_and_is_watched(&objects(&manifest)?);
    insta::assert_snapshot!("kustomize", manifest);
    Ok(())
}

#[test]
fn the_fallback_is_privileged_and_otherwise_the_same() -> Result<()> {
    let manifest = kustomize("kubernetes-privileged")?;
    is_valid(&manifest)?;
    let (mut objects, mut least) = (objects(&manifest)?, objects(&kustomize("kubernetes")?)?);
    let security = |objects: &mut Vec<Value>| {
        let set = objects
            .iter_mut()
            .find(|object| object["kind"] == "DaemonSet")
            .expect("there is a DaemonSet");
        set["spec"]["template"]["spec"]["containers"][0]["securityContext"].take()
    };
    assert_eq!(
        security(&mut objects),
        json!({"privileged": true, "readOnlyRootFilesystem": true, "runAsUser": 0})
    );
    security(&mut least);
    assert_eq!(objects, least);
    Ok(())
}

#[test]
fn the_chart_renders_what_the_manifests_say() -> Result<()> {
    said(
        Command::new(deploy_tool("helm")?)
            .args(["lint", "--strict"])
            .arg(deploy("helm/geophone")),
    )?;
    let manifest = helm("geophone", "image.tag=0.1.0")?;
    is_valid(&manifest)?;
    let (chart, manifests) = (objects(&manifest)?, objects(&kustomize("kubernetes")?)?);
    has_the_least_rights_and_is_watched(&chart);
    let container = |objects: &[Value]| {
        of_kind(objects, "DaemonSet")["spec"]["template"]["spec"]["containers"][0].clone()
    };
    let (chart, manifests) = (container(&chart), container(&manifests));
    for same in [
        "securityContext",
        "args",
        "ports",
        "livenessProbe",
        "readinessProbe",
    ] {
        assert_eq!(chart[same], manifests[same], "{same}");
    }
    insta::assert_snapshot!("helm", manifest);
    Ok(())
}

#[test]
fn the_values_of_the_chart_reach_the_pod() -> Result<()> {
    let manifest = helm(
        "second",
        "privileged=true,content=both,otlp.protocol=grpc,otlp.secretName=token,priorityClassName=system-node-critical,\
         extraArgs={--verbose},prometheus.port=9999,livenessProbe.periodSeconds=7,image.tag=v1,imagePullSecrets[0].name=pull,\
         podLabels.team=agents,podAnnotations.note=seen",
    )?;
    is_valid(&manifest)?;
    let objects = objects(&manifest)?;
    let pod = &of_kind(&objects, "DaemonSet")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(
        container["args"],
        json!(["run", "--prometheus=0.0.0.0:9999", "--content=both", "--verbose"])
    );
    assert_eq!(container["ports"][0]["containerPort"], 9999);
    assert_eq!(container["livenessProbe"]["periodSeconds"], 7);
    assert_eq!(container["image"], "geophone:v1");
    assert_eq!(container["securityContext"]["privileged"], true);
    assert_eq!(container["envFrom"], json!([{"secretRef": {"name": "token"}}]));
    assert_eq!(pod["priorityClassName"], "system-node-critical");
    let metadata = &of_kind(&objects, "DaemonSet")["spec"]["template"]["metadata"];
    assert_eq!(metadata["labels"]["team"], "agents");
    assert_eq!(
        metadata["annotations"],
        json!({"geophone.dev/trace": "false", "note": "seen"})
    );
    assert_eq!(
        of_kind(&objects, "ClusterRole")["metadata"]["name"],
        "geophone-second"
    );
    Ok(())
}

/// What geophone says of the settings that an object has.
fn config_check(object: &Value) -> Result<String> {
    let text = object["data"]["geophone.toml"]
        .as_str()
        .context("there are no settings")?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("geophone.toml");
    std::fs::write(&file, text)?;
    said(Command::new(geophone()?).args(["config", "check"]).arg(&file))?;
    Ok(text.to_owned())
}

#[test]
fn the_settings_of_the_chart_are_a_file_that_geophone_reads() -> Result<()> {
    let example = deploy("geophone.toml");
    let chart = |file: &std::path::Path| -> Result<String> {
        said(
            Command::new(deploy_tool("helm")?)
                .args(["template", "geophone"])
                .arg(deploy("helm/geophone"))
                .args(["--namespace", "tracing", "--set-file"])
                .arg(format!("config={}", file.display())),
        )
    };
    let manifest = chart(&example)?;
    is_valid(&manifest)?;
    let objects = objects(&manifest)?;
    has_the_least_rights_and_is_watched(&objects);
    let settings = of_kind(&objects, "ConfigMap");
    assert_eq!(
        config_check(settings)?.trim_end(),
        std::fs::read_to_string(&example)?.trim_end()
    );
    let pod = &of_kind(&objects, "DaemonSet")["spec"]["template"]["spec"];
    assert_eq!(
        pod["volumes"][0]["configMap"]["name"],
        settings["metadata"]["name"]
    );
    assert_eq!(
        pod["containers"][0]["volumeMounts"][0]["mountPath"],
        "/etc/geophone"
    );

    // Other settings, another pod: the nodes are rolled.
    let directory = tempfile::tempdir()?;
    let other = directory.path().join("other.toml");
    std::fs::write(&other, "[content]\ncapture = \"span\"\n")?;
    let manifest = chart(&other)?;
    insta::assert_snapshot!("helm_with_settings", manifest);
    let checksum = |objects: &[Value]| {
        let pod = &of_kind(objects, "DaemonSet")["spec"]["template"];
        pod["metadata"]["annotations"]["checksum/settings"].clone()
    };
    let others = self::objects(&manifest)?;
    assert_ne!(checksum(&others), checksum(&objects));
    config_check(of_kind(&others, "ConfigMap"))?;
    Ok(())
}

#[test]
fn the_settings_of_the_manifests_are_a_file_that_geophone_reads() -> Result<()> {
    let objects = objects(&kustomize("kubernetes")?)?;
    let maps = objects.iter().filter(|object| object["kind"] == "ConfigMap");
    let settings = maps
        .into_iter()
        .find(|map| map["data"]["geophone.toml"].is_string());
    let settings = settings.context("there are no settings")?;
    config_check(settings)?;
    let pod = &of_kind(&objects, "DaemonSet")["spec"]["template"]["spec"];
    assert_eq!(
        pod["volumes"][0]["configMap"]["name"],
        settings["metadata"]["name"]
    );
    Ok(())
}

#[test]
fn prometheus_finds_the_pods_under_the_names_that_the_alerts_ask_for() -> Result<()> {
    let objects = objects(&helm(
        "geophone",
        "podMonitor.enabled=true,podMonitor.labels.release=main",
    )?)?;
    let monitor = of_kind(&objects, "PodMonitor");
    assert_eq!(monitor["metadata"]["labels"]["release"], "main");
    let set = of_kind(&objects, "DaemonSet");
    let pod = &set["spec"]["template"];
    let selected = &monitor["spec"]["selector"]["matchLabels"];
    assert_eq!(selected, &set["spec"]["selector"]["matchLabels"]);
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    assert_eq!(endpoint["port"], pod["spec"]["containers"][0]["ports"][0]["name"]);
    let job = json!({"targetLabel": "job", "replacement": "geophone"});
    assert_eq!(endpoint["relabelings"][0], job);
    let alerts = std::fs::read_to_string(deploy("prometheus/alerts.yaml"))?;
    assert!(alerts.contains("job=\"geophone\""));
    Ok(())
}

#[test]
fn the_port_can_be_closed_to_all_but_some() -> Result<()> {
    let closed = helm("geophone", "networkPolicy.enabled=true")?;
    is_valid(&closed)?;
    assert_eq!(
        of_kind(&objects(&closed)?, "NetworkPolicy")["spec"]["ingress"],
        Value::Null
    );
    let label = "kubernetes\\.io/metadata\\.name";
    let peer = format!("networkPolicy.from[0].namespaceSelector.matchLabels.{label}=monitoring");
    let narrowed = helm("geophone", &format!("networkPolicy.enabled=true,{peer}"))?;
    is_valid(&narrowed)?;
    let monitoring = json!({"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}});
    assert_eq!(
        of_kind(&objects(&narrowed)?, "NetworkPolicy")["spec"]["ingress"],
        json!([{"from": [{"namespaceSelector": monitoring}], "ports": [{"port": "metrics"}]}])
    );
    Ok(())
}

#[test]
fn the_notes_say_where_spans_go_and_what_is_out_of_the_ordinary() -> Result<()> {
    let notes = |settings: &str| -> Result<String> {
        let mut install = Command::new(deploy_tool("helm")?);
        install
            .args(["install", "geophone"])
            .arg(deploy("helm/geophone"))
            .args(["--namespace", "tracing", "--dry-run=client", "--set", settings]);
        let said = said(&mut install)?;
        let (_, notes) = said.split_once("\nNOTES:\n").context("no notes")?;
        Ok(notes.to_owned())
    };
    let ordinary = notes("otlp.endpoint=http://collector:4317,otlp.protocol=grpc")?;
    insta::assert_snapshot!("notes", ordinary);
    let loud = notes("otlp.endpoint=,content=event,privileged=true")?;
    for line in [
        "No OTLP endpoint is set: spans are written to the log of each pod.",
        "Prompts and completions leave the nodes (content: event).",
        "The pods are privileged.",
    ] {
        ensure!(loud.lines().any(|told| told == line), "no {line:?} in\n{loud}");
    }
    Ok(())
}

#[test]
fn a_value_that_the_chart_does_not_know_is_refused() {
    let refused = helm("geophone", "contnet=both").unwrap_err().to_string();
    assert!(refused.contains("contnet"), "{refused}");
    let refused = helm("geophone", "content=everything").unwrap_err().to_string();
    assert!(refused.contains("content"), "{refused}");
    let refused = helm("geophone", "image.digest=latest").unwrap_err().to_string();
    assert!(refused.contains("digest"), "{refused}");
}

#[test]
fn the_unit_is_understood_by_systemd_and_gives_the_same_rights() -> Result<()> {
    let unit = std::fs::read_to_string(deploy("systemd/geophone.service"))?;
    let names: Vec<String> = CAPABILITIES.iter().map(|name| format!("CAP_{name}")).collect();
    let rights = names.join(" ");
    for setting in ["CapabilityBoundingSet", "AmbientCapabilities"] {
        assert!(unit.contains(&format!("\n{setting}={rights}\n")), "{setting}");
    }
    for setting in [
        "Type=notify",
        "WatchdogSec=30",
        "ExecReload=/bin/kill -HUP $MAINPID",
    ] {
        assert!(unit.contains(&format!("\n{setting}\n")), "{setting}");
    }
    let analyze = Command::new("systemd-analyze").arg("--version").output();
    if analyze.is_err() {
        // Not eprintln: the test harness would swallow it, since the test passes.
        use std::io::Write as _;
        writeln!(
            std::io::stderr().lock(),
            "\n*** NOT RUN: the unit was not verified: systemd-analyze is not installed ***\n"
        )
        .ok();
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("geophone.service");
    // It looks whether the program is there.
    std::fs::write(&file, unit.replace("/usr/local/bin/geophone", "/bin/true"))?;
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&file)
        .output()?;
    let complaints = String::from_utf8_lossy(&verified.stderr);
    ensure!(
        verified.status.success() && !complaints.contains("geophone.service"),
        "{complaints}"
    );
    Ok(())
}
