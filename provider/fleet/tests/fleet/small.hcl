pool "lab1" {
  host "xen11" {
    cpus       = 32
    memory_gib = 128
  }
  sr "ssd" {
    type     = "nfs"
    size_gib = 4000
    shared   = true
    default  = true
  }
  sr "hdd" {
    type     = "ext"
    size_gib = 1000
    host     = "xen11"
  }
  sr "isos" {
    type     = "iso"
    size_gib = 200
    shared   = true
    isos     = ["debian-12.iso"]
  }
  network "lab-net" {
    bridge = "xenbr0"
    device = "eth0"
    cidr   = "10.1.0.0/16"
  }
  network "test-net" {
    bridge = "xenbr1"
    device = "eth1"
    cidr   = "10.2.0.0/16"
  }
  template "tmpl-debian12" {
    cpus       = 2
    memory_mib = 2048
    disks_gib  = [20]
    networks   = ["lab-net"]
    tags       = ["golden"]
    guest {
      boot_seconds = 6
      dhcp_seconds = 0
      os_version   = "Debian GNU/Linux 12 (bookworm)"
    }
  }
  template "tmpl-centos7" {
    cpus       = 2
    memory_mib = 2048
    disks_gib  = [20]
    networks   = ["lab-net"]
    stale_ip   = "10.9.9.9"
    guest {
      boot_seconds         = 10
      dhcp_seconds         = 2
      agent_event          = false
      agent_period_seconds = 2
      link_local_first     = true
      os_version           = "CentOS Linux release 7.9.2009 (Core)"
    }
  }
  template "tmpl-two-nics" {
    disks_gib = [20, 10]
    networks  = ["lab-net", "test-net"]
    guest {
      boot_seconds = 6
      first_device = 1
    }
  }
  template "tmpl-link-local" {
    networks = ["lab-net"]
    guest {
      boot_seconds = 6
      addresses    = ["169.254"]
    }
  }
  template "tmpl-no-agent" {
    networks = ["lab-net"]
    guest {
      no_agent = true
    }
  }
  template "tmpl-never" {
    networks = ["lab-net"]
    guest {
      boot_seconds = 6
      never        = true
    }
  }
  template "tmpl-no-nic" {
    networks = []
  }
  template "twin" {
    networks = ["lab-net"]
  }
  vm "foreign" {
    count    = 3
    template = "tmpl-debian12"
    running  = true
  }
}
