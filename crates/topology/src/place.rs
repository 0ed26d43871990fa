//! In which container, pod or unit a process is, by the path of its cgroup.

/// Where a process is, as far as its cgroup says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The container's id, shortened to twelve digits as `docker ps` and `crictl ps` do.
    pub(super) container: Option<String>,
    /// The Kubernetes pod's uid.
    pub(super) pod: Option<String>,
    /// The systemd service.
    pub(super) unit: Option<String>,
}

impl Place {
    /// Names and values of labels.
    pub(super) fn labels(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let all = [("container_id", &self.container), ("pod_uid", &self.pod), ("systemd_unit", &self.unit)];
        all.into_iter().filter_map(|(name, value)| value.as_ref().map(|value| (name, value)))
    }

    /// Whether whoever shares this cgroup surely belongs together: one container or one service, not a user's session.
    pub(super) fn is_of_one(&self) -> bool {
        self.container.is_some() || self.unit.as_ref().is_some_and(|unit| !unit.starts_with("user@"))
    }

    /// From a path such as `/system.slice/docker-<64 digits>.scope` or `/kubepods/burstable/pod<uid>/<64 digits>`.
    pub(super) fn of(path: &str) -> Self {
        let mut place = Self::default();
        for part in path.split('/') {
            let part = part.strip_suffix(".scope").or_else(|| part.strip_suffix(".slice")).unwrap_or(part);
            if let Some(id) = container(part) {
                place.container = Some(id);
            } else if let Some(uid) = pod(part) {
                place.pod = Some(uid);
            } else if part.ends_with(".service") {
                // The innermost one: a container runtime is itself a service.
                place.unit = Some(part.chars().take(128).collect());
            }
        }
        if place.container.is_some() {
            place.unit = None;
        }
        place
    }
}

/// The path in the content of `/proc/<pid>/cgroup`: that of version 2 where it says something, else that of the memory
/// controller of version 1, else that of systemd.
pub(super) fn path(content: &str) -> &str {
    let lines = || {
        content.lines().filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            parts.next().zip(parts.next())
        })
    };
    let of = |wanted: &str| {
        let mine = lines().filter(|(controllers, _)| controllers.split(',').any(|one| one == wanted));
        mine.map(|(_, path)| path).find(|path| *path != "/")
    };
    of("").or_else(|| of("memory")).or_else(|| of("name=systemd")).unwrap_or("/")
}

/// `docker-<64 digits>`, `cri-containerd-<64 digits>`, `crio-<64 digits>`, `libpod-<64 digits>` or the digits alone.
fn container(part: &str) -> Option<String> {
    let id = part.rsplit(['-', ':']).next()?;
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id.chars().take(12).collect())
}

/// `pod<uid>`, or with the systemd driver `kubepods-burstable-pod<uid with _ for ->`.
fn pod(part: &str) -> Option<String> {
    let at = if part.starts_with("kubepods") { part.rfind("-pod")? + 1 } else { 0 };
    let uid = part.get(at..)?.strip_prefix("pod")?.replace('_', "-");
    let is_uid = uid.len() == 36 && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    // Static pods have a hash of 32 digits instead of a uid.
    let is_hash = uid.len() == 32 && uid.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_uid || is_hash).then_some(uid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "3f0e2b7a9c4d1e8f3f0e2b7a9c4d1e8f3f0e2b7a9c4d1e8f3f0e2b7a9c4d1e8f";
    const UID: &str = "1a2b3c4d-0000-1111-2222-333344445555";

    fn place(container: Option<&str>, pod: Option<&str>, unit: Option<&str>) -> Place {
        let text = |value: Option<&str>| value.map(str::to_owned);
        Place { container: text(container), pod: text(pod), unit: text(unit) }
    }

    #[test]
    fn containers_pods_and_units_are_told_by_their_paths() {
        let short = Some("3f0e2b7a9c4d");
        let table = [
            ("/system.slice/nginx.service".to_owned(), place(None, None, Some("nginx.service"))),
            (format!("/system.slice/docker-{ID}.scope"), place(short, None, None)),
            (format!("/docker/{ID}"), place(short, None, None)),
            (format!("/system.slice/docker.service/docker/{ID}"), place(short, None, None)),
            (format!("/machine.slice/libpod-{ID}.scope/container"), place(short, None, None)),
            (format!("/kubepods/burstable/pod{UID}/{ID}"), place(short, Some(UID), None)),
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice/cri-containerd-{ID}.scope",
                    UID.replace('-', "_")
                ),
                place(short, Some(UID), None),
            ),
            (
                format!("/system.slice/containerd.service/kubepods-pod{UID}.slice:cri-containerd:{ID}"),
                place(short, None, None),
            ),
            ("/user.slice/user-1000.slice/session-3.scope".to_owned(), Place::default()),
            ("/".to_owned(), Place::default()),
        ];
        for (path, expected) in table {
            assert_eq!(Place::of(&path), expected, "{path}");
        }
        assert!(place(None, None, Some("nginx.service")).is_of_one());
        assert!(!place(None, None, Some("user@1000.service")).is_of_one());
        assert!(!Place::default().is_of_one());
    }

    #[test]
    fn the_path_is_that_of_the_version_that_says_something() {
        assert_eq!(path("0::/system.slice/a.service\n"), "/system.slice/a.service");
        assert_eq!(path("12:memory:/docker/x\n11:cpu,cpuacct:/docker/y\n0::/\n"), "/docker/x");
        assert_eq!(path("1:name=systemd:/a:b\n"), "/a:b");
        assert_eq!(path(""), "/");
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text: String, near in "(/|pod|kubepods|-pod|[0-9a-f]{32,64}|:|\\.slice|\\.service|é|\n){0,20}") {
            for text in [&text, &near] {
                Place::of(path(text));
            }
        }
    }
}
