pool "lab1" {
  host "xen11" {
    cpus       = 80
    memory_gib = 256
  }
  host "xen12" {
    cpus       = 80
    memory_gib = 256
  }
  host "xen13" {
    cpus       = 80
    memory_gib = 256
  }
  sr "ssd" {
    type     = "nfs"
    size_gib = 8000
    shared   = true
    default  = true
  }
  network "lab-net" {
    bridge = "xenbr0"
    device = "eth0"
    cidr   = "10.1.0.0/16"
  }
  template "tmpl-debian12" {
    cpus       = 1
    memory_mib = 2048
    disks_gib  = [20]
    networks   = ["lab-net"]
    guest {
      boot_seconds = 6
      dhcp_seconds = 1
    }
  }
  template "tmpl-centos7" {
    cpus       = 2
    memory_mib = 2048
    disks_gib  = [20, 10]
    networks   = ["lab-net"]
    stale_ip   = "10.9.9.9"
    guest {
      boot_seconds         = 10
      dhcp_seconds         = 2
      agent_event          = false
      agent_period_seconds = 2
      link_local_first     = true
      shutdown_seconds     = 30
    }
  }
  vm "foreign" {
    count     = 3
    template  = "tmpl-debian12"
    running   = true
    snapshots = 1
  }
}
pool "lab2" {
  host "xen21" {
    cpus       = 80
    memory_gib = 256
  }
  sr "hdd" {
    type     = "ext"
    size_gib = 3000
    host     = "xen21"
    default  = true
  }
  network "lab-net" {
    bridge = "xenbr0"
    device = "eth0"
    cidr   = "10.2.0.0/16"
  }
  template "tmpl-debian12" {
    cpus       = 1
    memory_mib = 2048
    disks_gib  = [20]
    networks   = ["lab-net"]
    guest {
      boot_seconds = 6
    }
  }
  vm "foreign" {
    count    = 2
    template = "tmpl-debian12"
    running  = false
  }
}
