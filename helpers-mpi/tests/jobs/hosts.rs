//! More than one host, tested on one machine: each is a network of its own (a network namespace)
//! with a name of its own, and the launcher reaches it by a program that stands in for ssh.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::time::Duration;

use helpers_mpi::prelude::*;

use crate::common::guarded;

/// Two hosts, and a network between them and this one. They go when this is dropped.
struct Hosts {
    names: [String; 2],
    bridge: String,
    folder: PathBuf,
}

/// Networks 10.77.N.0, where N is the test's own.
impl Hosts {
    /// `None` where no networks can be made: it takes an administrator's rights.
    fn new(number: u8) -> Option<Hosts> {
        if !nix::unistd::Uid::effective().is_root() {
            return None;
        }
        let id = process::id() % 10_000;
        let folder = env::temp_dir().join(format!("helpers-mpi-hosts-{id}-{number}"));
        fs::create_dir_all(&folder).unwrap();
        let hosts = Hosts {
            names: ["a", "b"].map(|name| format!("hm{name}{id}x{number}")),
            bridge: format!("hmbr{id}x{number}"),
            folder,
        };
        let Hosts { names, bridge, .. } = &hosts;
        let mut script = format!(
            "ip link add {bridge} type bridge && ip addr add 10.77.{number}.1/24 dev {bridge} && \
             ip link set {bridge} up"
        );
        for (place, name) in names.iter().enumerate() {
            let address = format!("10.77.{number}.{}", place + 2);
            script += &format!(
                " && ip netns add {name} && \
                 ip link add v{name} type veth peer name eth0 netns {name} && \
                 ip link set v{name} master {bridge} up && \
                 ip -n {name} addr add {address}/24 dev eth0 && ip -n {name} link set eth0 up && \
                 ip -n {name} link set lo up"
            );
        }
        let made = Command::new("sh")
            .args(["-c", &script])
            .stderr(Stdio::null())
            .status();
        if !made.is_ok_and(|status| status.success()) {
            return None;
        }
        let agent = format!(
            "#!/bin/sh\nwhile [ \"${{1#-}}\" != \"$1\" ]; do shift; done\nhost=$1; shift\n\
             case $host in\n*.2) name={};;\n*.3) name={};;\n*) echo \"no host $host\" >&2; exit \
             1;;\nesac\nexec ip netns exec $name unshare --uts sh -c 'hostname \"$0\"; exec sh -c \
             \"$*\"' $name \"$@\"\n",
            names[0], names[1]
        );
        let path = hosts.agent();
        fs::write(&path, agent).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        // What Hydra calls this host, where the others can find it.
        fs::write(hosts.folder.join("this"), format!("10.77.{number}.1")).unwrap();
        Some(hosts)
    }

    fn agent(&self) -> PathBuf {
        self.folder.join("agent")
    }

    fn launcher_args(&self) -> Vec<String> {
        let agent = self.agent().to_string_lossy().into_owned();
        let version = Command::new("mpiexec").arg("--version").output().unwrap();
        let args: &[&str] = if String::from_utf8_lossy(&version.stdout).contains("Open MPI") {
            &["--prtemca", "plm_ssh_agent", &agent]
        } else {
            let this = fs::read_to_string(self.folder.join("this")).unwrap();
            return [
                "-localhost",
                &this,
                "-launcher",
                "ssh",
                "-launcher-exec",
                &agent,
            ]
            .map(str::to_owned)
            .to_vec();
        };
        args.iter().map(|&arg| arg.to_owned()).collect()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
        let _ = Command::new("ip")
            .args(["link", "del", &self.bridge])
            .status();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn on_two_hosts(number: u8, test: fn(&Hosts)) {
    guarded(move || match Hosts::new(number) {
        Some(hosts) => test(&hosts),
        None => println!("not tested: no networks can be made here"),
    });
}

#[test]
fn ranks_run_on_two_hosts() {
    on_two_hosts(1, |hosts| {
        let run = MpiRun::new(4)
            .hosts(["10.77.1.2:2", "10.77.1.3:2"])
            .launcher_args(hosts.launcher_args());
        let values = run.run(|world| {
            let mut sum = 0;
            world.all_reduce_into(&world.rank(), &mut sum, SystemOperation::sum());
            (mpi::environment::processor_name().unwrap(), sum)
        });
        let values = values.unwrap();
        let [a, b] = hosts.names.clone();
        assert_eq!(values, [(a.clone(), 6), (a, 6), (b.clone(), 6), (b, 6)]);
    });
}

#[test]
fn errors_name_the_host() {
    on_two_hosts(2, |hosts| {
        let run = MpiRun::new(2)
            .hosts(["10.77.2.2", "10.77.2.3"])
            .launcher_args(hosts.launcher_args());
        let error = run
            .run(|world| assert!(world.rank() != 1, "bad luck"))
            .unwrap_err();
        let wanted = format!("rank 1 on {} panicked: bad luck", hosts.names[1]);
        assert!(error.to_string().contains(&wanted), "{error}");
        // Long enough for ranks of a busy machine to say where they are.
        let stuck = run
            .time_limit(Duration::from_secs(5))
            .run(|world| world.process_at_rank(1 - world.rank()).receive::<i32>().0);
        let told = stuck.unwrap_err().to_string();
        let wanted = format!("rank 1 on {} waits in MPI_Recv", hosts.names[1]);
        assert!(told.contains(&wanted), "{told}");
    });
}

#[test]
fn a_host_file_and_ranks_per_node_place_ranks() {
    on_two_hosts(3, |hosts| {
        let file = hosts.folder.join("hosts");
        fs::write(&file, "10.77.3.2 slots=4\n10.77.3.3:4\n").unwrap();
        let names = MpiRun::new(2)
            .host_file(Path::new(&file))
            .ranks_per_node(1)
            .launcher_args(hosts.launcher_args())
            .run(|_| mpi::environment::processor_name().unwrap());
        assert_eq!(names.unwrap(), hosts.names);
    });
}
