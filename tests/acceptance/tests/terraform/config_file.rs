//! `config_file`: pools by the INI file of the older service.

use acceptance::{Diagnostic, Lab, Outcome, Tool, Workspace, assert_unchanged, under_each_tool, whole_life};
use sim::PoolAddress;

use crate::{A, SERVER, server};

/// The provider's configuration, with further lines.
fn provider(lines: &str) -> String {
    format!("provider \"dynvm\" {{\n  config_file = \"lab.ini\"\n{lines}\n}}\n")
}

/// One section.
fn section(number: usize, pool: &PoolAddress, url: &str, lines: &str) -> String {
    let PoolAddress { username, password, .. } = pool;
    format!("[xenhost{number}]\nhost.name = {url}\nhost.user = {username}\nhost.password = {password}\n{lines}\n")
}

/// A file of both pools: the second alone has the alias `centos`.
fn two_pools(lab: &Lab) -> String {
    let (first, second) = (lab.pool("lab1"), lab.pool("lab2"));
    format!(
        "[common]\nvm.expiry.minutes = 90\nvm.network.timeout.secs = 120\n\n{}\n{}",
        section(
            1,
            &first,
            &first.url,
            "debian12.template = tmpl-debian12\nhost.network.id = eth1"
        ),
        section(
            2,
            &second,
            &second.url,
            "centos.template = tmpl-centos7\ncentos.vcpus = 2"
        )
    )
}

/// A module with this file.
fn workspace(tool: &Tool, ini: &str, parts: &[&str]) -> Workspace {
    let workspace = Workspace::new(tool);
    workspace.write("lab.ini", ini);
    workspace.main(parts);
    workspace
}

/// The warnings that are not about plain HTTP.
fn warnings(outcome: &Outcome) -> Vec<Diagnostic> {
    let mut warnings = outcome.warnings();
    warnings.retain(|warning| !warning.detail.contains("without TLS"));
    warnings
}

#[test]
fn each_section_is_a_pool() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let other = SERVER.replace("\"a\"", "\"b\"").replace("debian12", "centos");
        let workspace = workspace(tool, &two_pools(&lab), &[&provider(""), SERVER, &other]);
        whole_life(&lab, &workspace, |state| {
            assert_eq!(state.text(A, "pool"), "xenhost1");
            assert_eq!(state.text(A, "network"), "test-net", "the network of eth1");
            assert_eq!(state.text(A, "ttl"), "1h30m");
            assert_eq!(state.text("dynvm_server.b", "pool"), "xenhost2");
        });
    });
}

#[test]
fn the_provider_goes_before_the_file() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let long = server("  os = \"debian12\"\n  ttl = \"2h\"");
        let workspace = workspace(tool, &two_pools(&lab), &[&provider(""), &long]);
        let error = workspace.try_plan().only_error();
        error.expect_at("ttl").expect_text("1h30m");
        workspace.main(&[&provider("  max_ttl = \"3h\""), &long]);
        assert_eq!(workspace.try_plan().code, Some(0));
    });
}

#[test]
fn what_is_not_read_warns() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let ini = two_pools(&lab) + "centos.templat = x\n[couchbase]\ncouchbase.server = db\n";
        let outcome = workspace(tool, &ini, &[&provider(""), SERVER])
            .try_plan()
            .expect_code(0);
        let warnings = warnings(&outcome);
        for (warning, says) in warnings.iter().zip([
            "[xenhost2] centos.vcpus: not read: the template says it",
            "[xenhost2] centos.templat: unknown key, not read; did you mean \"centos.template\"?",
            "[couchbase]: the database of the older service is not used",
        ]) {
            warning
                .expect_at("config_file")
                .expect_text(says)
                .expect_text("lab.ini:");
        }
        assert_eq!(warnings.len(), 3, "{warnings:#?}");
    });
}

#[test]
fn what_cannot_be_honoured_is_an_error() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let unreadable = two_pools(&lab) + "host.vms.max.centos = many\n";
        for (ini, says) in [
            (unreadable, "[xenhost2] host.vms.max.centos: \"many\" is not a number"),
            ("[common]\n".to_owned(), "lab.ini: there is no pool"),
        ] {
            let workspace = workspace(tool, &ini, &[&provider(""), SERVER]);
            let error = workspace.try_apply().only_error();
            error.expect_at("config_file").expect_text(says);
        }
        let workspace = workspace(tool, &two_pools(&lab), &[&provider("  pools = {}"), SERVER]);
        let error = workspace.try_apply().only_error();
        error.expect_text("pools").expect_text("config_file");
        assert_unchanged(&lab, &before);
        assert!(lab.methods().is_empty(), "no pool was asked: {:?}", lab.methods());
    });
}

#[test]
fn labels_reserve_a_section() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let ini = two_pools(&lab) + "host.labels = gpu, big\n";
        let reserved = server("  os = \"centos\"\n  pool = \"xenhost2\"");
        let workspace = workspace(tool, &ini, &[&provider(""), &reserved]);
        let error = workspace.try_plan().only_error();
        error.expect_at("pool").expect_text("its labels: big, gpu");
        let asks = server("  os = \"centos\"\n  pool_labels = [\"gpu\"]");
        workspace.main(&[&provider(""), &asks]);
        whole_life(&lab, &workspace, |state| assert_eq!(state.text(A, "pool"), "xenhost2"));
    });
}

#[test]
fn sections_of_one_pool_are_one() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let pool = lab.pool("lab1");
        let members = pool.member_urls.iter().zip(1..);
        let ini: String = members
            .map(|(url, number)| section(number, &pool, url, "debian12.template = tmpl-debian12"))
            .collect();
        let ask = "data \"dynvm_capacity\" \"now\" {\n  os = \"debian12\"\n}\noutput \"pools\" {\n  value = length(data.dynvm_capacity.now.pools)\n}\n";
        let workspace = workspace(tool, &ini, &[&provider(""), ask]);
        workspace.apply();
        assert_eq!(workspace.state().output("pools"), 1, "room is counted once");
        workspace.main(&[&provider(""), SERVER]);
        whole_life(&lab, &workspace, |state| {
            let place = (state.text(A, "pool"), state.text(A, "resident_host"));
            let of_sections = [("xenhost1", "xen11"), ("xenhost2", "xen12")];
            assert!(
                of_sections
                    .iter()
                    .any(|(pool, host)| place.0 == *pool && place.1 == *host),
                "{place:?}"
            );
        });
    });
}

/// Each host of a pool takes the servers of its own section, and a second plan is empty.
#[test]
fn a_section_is_a_host_of_its_pool() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let pool = lab.pool("lab1");
        let ini: String = (1..)
            .zip(pool.member_urls.iter().take(2))
            .map(|(number, url)| section(number, &pool, url, "debian12.template = tmpl-debian12"))
            .collect();
        let second = server("  os = \"debian12\"\n  pool = \"xenhost2\"");
        let first = second.replace("\"a\"", "\"b\"").replace("xenhost2", "xenhost1");
        let workspace = workspace(tool, &ini, &[&provider(""), &second, &first]);
        whole_life(&lab, &workspace, |state| {
            let host = |address: &str| state.text(address, "resident_host").to_owned();
            assert_eq!(state.text(A, "pool"), "xenhost2");
            assert_eq!(state.text("dynvm_server.b", "pool"), "xenhost1");
            assert_ne!(host(A), host("dynvm_server.b"));
        });
    });
}
