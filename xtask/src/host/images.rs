//! The images of the host, under the names that kubelet and e2e.test ask for, packed from our own builds and Debian's packages.
//!
//! No image comes from outside. Two archives are made: `minimal.tar` (enough for a host, a tenant and most specs) and
//! `extra.tar`. Layers are shared inside an archive, so that the Debian base is written once. An archive is made again
//! only when a program in it or this file has changed. They are stand-ins for upstream's images, for development.

use super::network::{CONTROL_PLANE, CONTROL_PLANE_ADDRESS, enter};
use super::{Cluster, Host, NODES, fill, node};
use crate::archive::{self, Image, Layer};
use crate::shell::{cmd, exists, quiet, read};
use crate::upstream::{self, COREDNS, Set};
use crate::workspace;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// The sandbox image of this kubelet version.
pub const PAUSE: &str = "registry.k8s.io/pause:3.10.2";

/// Debian's packages in the base layer: what shells in agnhost and the DNS images call.
const PACKAGES: &str = "curl,bind9-dnsutils,netcat-openbsd,iproute2,iperf,socat,iptables,nginx-light,perl,procps,\
                        ca-certificates,busybox,stress";

/// The image of the host's DNS.
pub fn coredns() -> String {
    format!("registry.k8s.io/coredns/coredns:{COREDNS}")
}

/// Where the nodes' containerd looks for what is not there.
pub fn registry_address() -> String {
    format!("{CONTROL_PLANE_ADDRESS}:5000")
}

/// Changes whenever the archive does: its digest is expensive, so it is its size and time.
pub fn version(archive: &Path) -> Result<String> {
    let metadata = archive.metadata().with_context(|| format!("no archive {}", archive.display()))?;
    let modified = metadata.modified()?.duration_since(std::time::UNIX_EPOCH)?;
    Ok(format!("{} {}", metadata.len(), modified.as_nanos()))
}

/// Makes the archives of a set where they are out of date.
pub fn build(set: Set) -> Result<Vec<PathBuf>> {
    let kitchen = Kitchen { dir: workspace::target().join("upstream/images") };
    fs::create_dir_all(kitchen.dir.join("layers"))?;
    let mut archives = vec![kitchen.archive("minimal", &["agnhost", "coredns", "hostname"], Kitchen::minimal)?];
    if set == Set::All {
        let programs =
            ["agnhost", "nonewprivs", "resource-consumer", "consume-cpu", "hostname", "sample-apiserver", "etcd"];
        archives.push(kitchen.archive("extra", &programs, Kitchen::extra)?);
    }
    Ok(archives)
}

/// kind and k3s have their own ways to take an archive; elsewhere the image must come from a registry.
pub fn load_into_foreign(cluster: &Cluster, archive: &Path) -> Result<()> {
    let path = archive.display().to_string();
    let node = read(&mut cluster.kubectl(["get", "nodes", "-o", "jsonpath={.items[0].spec.providerID}"]))?;
    if let Some(rest) = node.strip_prefix("kind://") {
        let name = rest.split('/').nth(1).unwrap_or("kind");
        return quiet(&mut cmd("kind", ["load", "image-archive", &path, "--name", name]));
    }
    if node.starts_with("k3s://") && exists("k3s") {
        return quiet(&mut cmd("k3s", ["ctr", "images", "import", &path]));
    }
    println!("cannot import {path} into this cluster: push it to a registry that its nodes pull from");
    Ok(())
}

impl Host {
    /// A registry with the same images, for `imagePullPolicy: Always`.
    pub(super) fn start_registry(&self, archives: &[PathBuf]) -> Result<()> {
        let folder = workspace::target().join("upstream/images/registry").display().to_string();
        let config = self.conf().join("registry.yaml");
        let values = [("FOLDER", &*folder), ("REGISTRY", &registry_address())];
        fs::write(&config, fill(include_str!("../../../tests/host/registry.yaml"), &values)?)?;
        let program = ["docker-registry", "serve", &config.display().to_string()];
        self.start("registry", &enter(CONTROL_PLANE), &program)?;
        let address = format!("{CONTROL_PLANE_ADDRESS}:5000");
        let address = address.parse().context("the registry's address")?;
        let patience = std::time::Duration::from_millis(500);
        self.wait("registry", "serving", 20, || std::net::TcpStream::connect_timeout(&address, patience).is_ok())?;

        let mark = PathBuf::from(&folder).join("pushed");
        let versions = archives.iter().map(|archive| version(archive)).collect::<Result<Vec<_>>>()?.join("\n");
        if fs::read_to_string(&mark).is_ok_and(|old| old == versions) {
            return Ok(());
        }
        let inside = self.inside(NODES[0])?;
        let ctr = |arguments: &[&str]| {
            quiet(&mut node::in_node(&inside, "ctr", &[&["-n", "k8s.io", "images"], arguments].concat()))
        };
        for tag in archives.iter().map(|archive| archive::tags(archive)).collect::<Result<Vec<_>>>()?.concat() {
            let Some(name) = tag.strip_prefix("registry.k8s.io/") else { continue };
            let pushed = format!("{}/{name}", registry_address());
            ctr(&["tag", "--force", &tag, &pushed])?;
            ctr(&["push", "--plain-http", "--platform", "linux/amd64", &pushed])?;
            ctr(&["rm", &pushed])?;
        }
        fs::write(mark, versions)?;
        Ok(())
    }
}

/// Where images are made: `debian/` (the base), `roots/` (what layers are packed from), `layers/`, and the archives.
struct Kitchen {
    dir: PathBuf,
}

impl Kitchen {
    fn archive(&self, name: &str, programs: &[&str], images: fn(&Kitchen) -> Result<Vec<Image>>) -> Result<PathBuf> {
        let file = self.dir.join(format!("{name}.tar"));
        let stamp = self.dir.join(format!(".{name}.stamp"));
        let mut digest = Sha256::new();
        for source in
            [include_str!("images.rs"), include_str!("../archive.rs"), include_str!("../../../tests/host/pause.c")]
        {
            digest.update(source);
        }
        for program in programs {
            let stamp = workspace::upstream_bin().join(format!(".{program}.stamp"));
            digest.update(fs::read(&stamp).with_context(|| format!("{program} is not built"))?);
        }
        let inputs = format!("{:x}", digest.finalize());
        if !file.is_file() || fs::read_to_string(&stamp).is_ok_and(|old| old != inputs) || !stamp.is_file() {
            println!("packing the images of {name}.tar");
            self.debootstrap()?;
            archive::write(&file, &images(self)?)?;
            fs::write(stamp, inputs)?;
        }
        Ok(file)
    }

    fn minimal(&self) -> Result<Vec<Image>> {
        let base = self.layer("debian", |_| Ok(()))?;
        let pause = self.layer("pause", |root| {
            let source = workspace::root().join("tests/host/pause.c");
            quiet(cmd("gcc", ["-Os", "-static", "-o"]).arg(root.path("pause")?).arg(source))
        })?;
        let busybox = self.busybox()?;
        let agnhost = self.layer("agnhost", |root| {
            root.program("agnhost", "agnhost")?;
            root.program("coredns", "coredns")?;
            root.link("agnhost-2", "agnhost")?;
            root.link("usr/local/bin/iperf", "/usr/bin/iperf")?;
            root.folder("uploads", 0o755)?;
            let porter = upstream::source("k8s.io/kubernetes")?.join("test/images/agnhost/porter");
            root.copy(&porter.join("localhost.crt"), "localhost.crt")?;
            root.copy(&porter.join("localhost.key"), "localhost.key")?;
            // The users that the fsGroup and supplementalGroups specs look for.
            let (user, debian) = ("user-defined-in-image", self.dir.join("debian/etc"));
            let passwd = fs::read_to_string(debian.join("passwd"))?;
            root.text("etc/passwd", &format!("{passwd}{user}:x:1000:1000::/home/{user}:/bin/sh\n"))?;
            let group = fs::read_to_string(debian.join("group"))?;
            root.text("etc/group", &format!("{group}{user}:x:1000:\ngroup-defined-in-image:x:50000:{user}\n"))
        })?;
        let coredns_layer = self.layer("coredns", |root| {
            root.folder("etc", 0o755)?;
            root.program("coredns", "coredns")
        })?;
        Ok(vec![
            image(&[PAUSE], &[&pause], json!({"Entrypoint": ["/pause"], "User": "65535:65535"})),
            image(&e2e(&["busybox:1.37.0-2", "busybox:1.36.1-1"]), &[&busybox], json!({"Cmd": ["sh"]})),
            image(
                &e2e(&["agnhost:2.66.1", "agnhost:2.55"]),
                &[&base, &agnhost],
                json!({"Entrypoint": ["/agnhost"], "Cmd": ["pause"]}),
            ),
            image(&[&coredns()], &[&coredns_layer], json!({"Entrypoint": ["/coredns"]})),
        ])
    }

    fn extra(&self) -> Result<Vec<Image>> {
        let base = self.layer("debian", |_| Ok(()))?;
        let busybox = self.busybox()?;
        let web = self.layer("web", |root| {
            let server = "server { listen 80; root /usr/share/nginx/html; index index.html; }";
            let config = format!(
                "worker_processes 1; error_log /dev/stderr; pid /run/nginx.pid; events {{ worker_connections 256; }}\n\
                 http {{ access_log /dev/stdout; {server} }}\n"
            );
            root.text("etc/nginx/nginx.conf", &config)?;
            let title = "Welcome to nginx!";
            let page = format!("<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n");
            root.text("usr/share/nginx/html/index.html", &page)
        })?;
        let newer = self.layer("web-newer", |root| root.text("etc/web-version", "2\n"))?;
        let privileges = self.layer("nonewprivs", |root| {
            root.program("nonewprivs", "usr/local/bin/nnp")?;
            root.mode("usr/local/bin/nnp", 0o4755)
        })?;
        let sample = self.layer("sample-apiserver", |root| {
            root.folder("tmp", 0o1777)?;
            root.program("sample-apiserver", "sample-apiserver")
        })?;
        let etcd = self.layer("etcd", |root| root.program("etcd", "usr/local/bin/etcd"))?;
        let consumer = self.layer("resource-consumer", |root| {
            root.program("resource-consumer", "consumer")?;
            root.program("consume-cpu", "consume-cpu")
        })?;
        let nginx = json!({"Cmd": ["nginx", "-g", "daemon off;"], "ExposedPorts": {"80/tcp": {}}});
        let debian = ["nginx:1.27.0-2", "perl:5.26", "ipc-utils:1.4", "glibc-dns-testing:2.1.1"];
        let mut images = vec![
            image(&e2e(&["nonroot:1.5"]), &[&busybox], json!({"Cmd": ["sh"], "User": "1234"})),
            image(&e2e(&debian), &[&base, &web], nginx.clone()),
            image(&e2e(&["nginx:1.28.0-2"]), &[&base, &web, &newer], nginx),
            image(&e2e(&["nonewprivs:1.4"]), &[&busybox, &privileges], json!({"Cmd": ["nnp"]})),
            image(&e2e(&["sample-apiserver:1.29.2"]), &[&sample], json!({"Entrypoint": ["/sample-apiserver"]})),
            image(&["registry.k8s.io/etcd:3.7.0-0"], &[&busybox, &etcd], json!({"Cmd": ["etcd"]})),
            image(&e2e(&["resource-consumer:1.14"]), &[&base, &consumer], json!({"Entrypoint": ["/consumer"]})),
        ];
        for animal in ["kitten", "nautilus"] {
            let layer = self.layer(animal, |root| {
                root.folder("tmp", 0o1777)?;
                root.program("agnhost", "agnhost")?;
                let pages = upstream::source("k8s.io/kubernetes")?.join("test/images").join(animal).join("html");
                for page in fs::read_dir(pages)? {
                    let page = page?;
                    root.copy(&page.path(), &page.file_name().to_string_lossy())?;
                }
                Ok(())
            })?;
            let config = json!({"Entrypoint": ["/agnhost"], "Cmd": ["test-webserver"]});
            images.push(image(&e2e(&[&format!("{animal}:1.8")]), &[&layer], config));
        }
        Ok(images)
    }

    /// The dynamic busybox with its libraries: Debian's static build crashes in name look-ups. Its shell is bash, since the
    /// shell of busybox 1.35 drops environment variables with a dash or a dot in their names.
    fn busybox(&self) -> Result<Layer> {
        let debian = self.dir.join("debian");
        self.layer("busybox", |root| {
            for folder in ["bin", "etc", "root", "home", "var", "usr/bin", "usr/sbin", "dev", "proc", "sys"] {
                root.folder(folder, 0o755)?;
            }
            root.folder("tmp", 0o1777)?;
            root.copy(&debian.join("bin/busybox"), "bin/busybox")?;
            root.copy(&debian.join("bin/bash"), "bin/bash")?;
            root.copy(&debian.join("lib64/ld-linux-x86-64.so.2"), "lib64/ld-linux-x86-64.so.2")?;
            let libraries = ["c.so.6", "resolv.so.2", "nss_files.so.2", "nss_dns.so.2", "m.so.6", "tinfo.so.6"];
            for library in libraries.map(|name| format!("lib/x86_64-linux-gnu/lib{name}")) {
                root.copy(&debian.join(&library), &library)?;
            }
            root.link("bin/sh", "bash")?;
            root.link("usr/bin/env", "../../bin/env")?;
            root.program("hostname", "bin/hostname")?;
            for applet in read(cmd("chroot", [&debian]).args(["/bin/busybox", "--list"]))?.lines() {
                if !root.dir.join("bin").join(applet).exists() {
                    root.link(&format!("bin/{applet}"), "busybox")?;
                }
            }
            root.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")?;
            root.text("etc/group", "root:x:0:\nnogroup:x:65534:\n")?;
            root.text("etc/nsswitch.conf", "hosts: files dns\n")
        })
    }

    /// A layer of what `make` puts into an empty root. The Debian base is its own root and is not emptied.
    fn layer(&self, name: &str, make: impl FnOnce(&Root) -> Result<()>) -> Result<Layer> {
        let file = self.dir.join("layers").join(name);
        if name == "debian" {
            return Layer::pack(&self.dir.join("debian"), &file);
        }
        let root = Root { dir: self.dir.join("roots").join(name) };
        if root.dir.exists() {
            fs::remove_dir_all(&root.dir)?;
        }
        fs::create_dir_all(&root.dir)?;
        make(&root).with_context(|| format!("making the layer {name}"))?;
        Layer::pack(&root.dir, &file)
    }

    fn debootstrap(&self) -> Result<()> {
        let root = self.dir.join("debian");
        let done = self.dir.join(".debian.done");
        if fs::read_to_string(&done).is_ok_and(|packages| packages == PACKAGES) {
            return Ok(());
        }
        println!("fetching Debian's packages for the base layer");
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        let include = format!("--include={PACKAGES}");
        quiet(cmd("debootstrap", ["--variant=minbase", &include, "bookworm"]).arg(&root))?;
        for folder in
            ["var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"]
        {
            fs::remove_dir_all(root.join(folder)).ok();
        }
        if !root.join("bin/busybox").is_file() {
            bail!("debootstrap left no busybox in {}", root.display());
        }
        fs::write(done, PACKAGES)?;
        Ok(())
    }
}

fn image(tags: &[impl AsRef<str>], layers: &[&Layer], config: Value) -> Image {
    Image {
        tags: tags.iter().map(|tag| tag.as_ref().to_owned()).collect(),
        config,
        layers: layers.iter().map(|layer| (*layer).clone()).collect(),
    }
}

/// The names of e2e.test's own images.
fn e2e(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("registry.k8s.io/e2e-test-images/{name}")).collect()
}

/// A folder that becomes a layer; paths in it are relative and their parents are made.
struct Root {
    dir: PathBuf,
}

impl Root {
    fn path(&self, path: &str) -> Result<PathBuf> {
        let full = self.dir.join(path);
        fs::create_dir_all(full.parent().unwrap_or(&self.dir))?;
        Ok(full)
    }

    fn folder(&self, path: &str, mode: u32) -> Result<()> {
        fs::create_dir_all(self.path(path)?)?;
        self.mode(path, mode)
    }

    fn mode(&self, path: &str, mode: u32) -> Result<()> {
        Ok(fs::set_permissions(self.dir.join(path), fs::Permissions::from_mode(mode))?)
    }

    fn text(&self, path: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.path(path)?, text)?)
    }

    fn link(&self, path: &str, target: &str) -> Result<()> {
        Ok(symlink(target, self.path(path)?)?)
    }

    /// Copies a file, following links; it becomes readable for all and writable for its owner.
    fn copy(&self, from: &Path, path: &str) -> Result<()> {
        let to = self.path(path)?;
        fs::copy(from, &to).with_context(|| format!("copying {}", from.display()))?;
        let executable = to.metadata()?.permissions().mode() & 0o111;
        self.mode(path, 0o644 | executable)
    }

    fn program(&self, name: &str, path: &str) -> Result<()> {
        self.copy(&workspace::upstream_bin().join(name), path)
    }
}
