//! Container and pod, told from the path of a control group.
//!
//! Every runtime names the control group of a container after the container's id, 64 hexadecimal digits, and hangs its
//! own decoration around it:
//!
//! ```text
//! /docker/ID                                                           Docker, cgroupfs
//! /system.slice/docker-ID.scope                                        Docker, systemd
//! /kubepods/burstable/podUID/ID                                        Kubernetes, cgroupfs
//! /kubepods.slice/…/kubepods-burstable-podUID.slice/cri-containerd-ID.scope   Kubernetes, systemd
//! /kubepods-burstable-podUID.slice:cri-containerd:ID                   containerd that was not told of systemd
//! /ecs/TASK/ID, /ecs/TASK/TASK-NUMBER                                  Amazon ECS on EC2, on Fargate
//! /machine.slice/libpod-ID.scope/container                             Podman
//! ```

/// Length of a container id in hexadecimal digits (SHA-256).
const CONTAINER_ID_LENGTH: usize = 64;

/// Length of the task part of a Fargate container id.
const FARGATE_TASK_LENGTH: usize = 32;

/// The parts of a Kubernetes UID: 8-4-4-4-12 hexadecimal digits.
const UID_GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

/// Id of the container, the innermost where containers are nested.
pub(super) fn container_id(cgroup: &str) -> Option<&str> {
    cgroup.split(['/', ':']).rev().find_map(id_in_segment)
}

/// UID of the Kubernetes pod.
pub(super) fn pod_uid(cgroup: &str) -> Option<String> {
    cgroup.split(['/', ':']).rev().find_map(uid_in_segment)
}

/// Whether a control group may be that of a pod: of a container, whichever, unless Kubernetes has nothing to do with it.
pub fn may_be_pod(cgroup: &str) -> bool {
    container_id(cgroup).is_some() || pod_uid(cgroup).is_some()
}

fn id_in_segment(segment: &str) -> Option<&str> {
    let segment = segment.strip_suffix(".scope").unwrap_or(segment);
    // The monitor of a container sits beside it under the same id and is not in it.
    if segment.contains("conmon") {
        return None;
    }
    if is_fargate_id(segment) {
        return Some(segment);
    }
    let id = segment.rsplit('-').next().unwrap_or(segment);
    (id.len() == CONTAINER_ID_LENGTH && is_hexadecimal(id)).then_some(id)
}

fn is_fargate_id(segment: &str) -> bool {
    segment.split_once('-').is_some_and(|(task, number)| {
        task.len() == FARGATE_TASK_LENGTH
            && is_hexadecimal(task)
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// `pod` and a UID, which systemd has to write with underscores since `-` separates its slices.
fn uid_in_segment(segment: &str) -> Option<String> {
    let segment = segment.strip_suffix(".slice").unwrap_or(segment);
    let (_, uid) = segment.rsplit_once("pod")?;
    let uid = uid.replace('_', "-");
    let groups = uid.split('-').map(str::len);
    let is_uid = groups.eq(UID_GROUPS) && uid.split('-').all(is_hexadecimal);
    // A static pod's UID is the hash of its manifest.
    let is_hash = uid.len() == 32 && is_hexadecimal(&uid);
    (is_uid || is_hash).then_some(uid)
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::{container_id, pod_uid};

    const ID: &str = "9f2c7c1de9a1b3f0c4e5d6a7b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f7081";
    const POD: &str = "2c48913c-b29f-11e7-9350-020968147796";

    /// Control groups as the runtimes write them, with `ID` for the container's id.
    const CONTAINERS: [&str; 32] = [
        "/docker/ID",
        "/system.slice/docker-ID.scope",
        "/system.slice/containerd.service/kubepods-besteffort-pod2c48913c_b29f_11e7_9350_020968147796.slice:cri-containerd:ID",
        "/kubepods/burstable/pod2c48913c-b29f-11e7-9350-020968147796/ID",
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod2c48913c_b29f_11e7_9350_020968147796.slice/cri-containerd-ID.scope",
        "/kubepods.slice/kubepods-pod2c48913c_b29f_11e7_9350_020968147796.slice/crio-ID.scope",
        "/kubepods.slice/kubepods-pod2c48913c_b29f_11e7_9350_020968147796.slice/crio-ID.scope/container",
        "/machine.slice/libpod-ID.scope/container",
        "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope",
        "/ecs/55091c13-b8cf-4801-b527-f4601742204d/ID",
        "/../../kubepods-besteffort-pod2c48913c_b29f_11e7_9350_020968147796.slice/cri-containerd-ID.scope",
        "/default/ID",
        "/docker/0000000000000000000000000000000000000000000000000000000000000000/kubelet/kubepods/besteffort/pod2c48913c-b29f-11e7-9350-020968147796/ID",
        "/lxc/payload/docker/ID/init.scope",
        // kind: a node that is a container itself, with the kubelet under a slice of its own.
        "/docker/0000000000000000000000000000000000000000000000000000000000000000/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod2c48913c_b29f_11e7_9350_020968147796.slice/cri-containerd-ID.scope",
        "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod2c48913c_b29f_11e7_9350_020968147796.slice/cri-containerd-ID.scope",
        // CRI-O with cgroupfs.
        "/kubepods/besteffort/pod2c48913c-b29f-11e7-9350-020968147796/crio-ID",
        // Docker through cri-dockerd.
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod2c48913c_b29f_11e7_9350_020968147796.slice/docker-ID.scope",
        // Podman with cgroupfs, and in a pod of its own.
        "/libpod_parent/libpod-ID",
        "/machine.slice/machine-libpod_pod_0000000000000000000000000000000000000000000000000000000000000000.slice/libpod-ID.scope/container",
        // Podman without root, and in the service of a Quadlet.
        "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
        "/system.slice/chat.service/libpod-payload-ID",
        // Docker without root; nerdctl.
        "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope",
        "/system.slice/nerdctl-ID.scope",
        // A container that runs systemd has services of its own.
        "/system.slice/docker-ID.scope/system.slice/chat.service",
        "/kubepods.slice/kubepods-pod2c48913c_b29f_11e7_9350_020968147796.slice/cri-containerd-ID.scope/init.scope",
        // Docker in Docker, with both drivers.
        "/docker/0000000000000000000000000000000000000000000000000000000000000000/docker/ID",
        "/system.slice/docker-0000000000000000000000000000000000000000000000000000000000000000.scope/docker/ID",
        // k3d: k3s in a container.
        "/docker/0000000000000000000000000000000000000000000000000000000000000000/kubepods/burstable/pod2c48913c-b29f-11e7-9350-020968147796/ID",
        // ECS on EC2 with version 2.
        "/ecstasks.slice/ecstasks-55091c13b8cf4801b527f4601742204d.slice/docker-ID.scope",
        // As seen from a pod that has a cgroup namespace: of another pod, and of a neighbour in its own.
        "/../../../kubepods-burstable.slice/kubepods-burstable-pod2c48913c_b29f_11e7_9350_020968147796.slice/crio-ID.scope",
        "/../cri-containerd-ID.scope",
    ];

    #[test]
    fn the_container_is_found_whatever_the_runtime() {
        for recorded in CONTAINERS {
            let cgroup = recorded.replace("ID", ID);
            assert_eq!(container_id(&cgroup), Some(ID), "{recorded}");
        }
    }

    #[test]
    fn fargate_has_ids_of_its_own() {
        assert_eq!(
            container_id("/ecs/447438d4540d4e28a4a5b5d8a5a5b5c5/447438d4540d4e28a4a5b5d8a5a5b5c5-3054012820"),
            Some("447438d4540d4e28a4a5b5d8a5a5b5c5-3054012820")
        );
    }

    #[test]
    fn outside_of_containers_there_is_none() {
        for cgroup in [
            "",
            "/",
            "/user.slice/user-1000.slice/session-3.scope",
            "/system.slice/ssh.service",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-firefox-4242.scope",
            "/ecs/55091c13-b8cf-4801-b527-f4601742204d",
            "/ecstasks.slice/ecstasks-55091c13b8cf4801b527f4601742204d.slice",
            "/system.slice/run-r0123456789abcdef0123456789abcdef.scope",
            "/lxc.payload.chat/system.slice/chat.service",
        ] {
            assert_eq!(container_id(cgroup), None, "{cgroup}");
        }
    }

    #[test]
    fn the_monitor_of_a_container_is_not_in_it() {
        for prefix in ["crio-conmon-", "libpod-conmon-"] {
            assert_eq!(container_id(&format!("/machine.slice/{prefix}{ID}.scope")), None);
        }
    }

    #[test]
    fn the_pod_is_named_with_dashes_whoever_wrote_it() {
        for recorded in CONTAINERS.iter().filter(|cgroup| cgroup.contains("pod2c")) {
            assert_eq!(pod_uid(recorded).as_deref(), Some(POD), "{recorded}");
        }
        assert_eq!(
            pod_uid("/kubepods/burstable/pod4ef6c2f2ad1ff8b3a2ab9a3c1ab5ed34/abc").as_deref(),
            Some("4ef6c2f2ad1ff8b3a2ab9a3c1ab5ed34"),
            "a static pod"
        );
        assert_eq!(pod_uid(&format!("/machine.slice/libpod-{ID}.scope")), None);
        assert_eq!(pod_uid("/docker/podman"), None);
    }
}
