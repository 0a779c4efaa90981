# The built-in lab: two pools, five hosts, five operating systems.
time_scale = 1.0
seed       = 42

latencies {}

pool "lab1" {
  username = "root"
  password = "dynvm-sim"

  host "xen11" {
    cpus       = 32
    memory_gib = 128
  }
  host "xen12" {
    cpus       = 32
    memory_gib = 128
  }

  sr "ssd" {
    type     = "nfs"
    size_gib = 4000
    shared   = true
    default  = true
  }
  sr "xen11-local" {
    type     = "ext"
    size_gib = 1000
    host     = "xen11"
  }
  sr "xen12-local" {
    type     = "lvm"
    size_gib = 1000
    host     = "xen12"
  }
  sr "isos" {
    type     = "iso"
    size_gib = 200
    shared   = true
    isos     = ["debian-12.iso", "rocky-9.iso"]
  }
  sr "DVD drives" {
    type = "udev"
    host = "xen11"
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

  template "tmpl-centos7" {
    cpus       = 2
    memory_mib = 2048
    disks_gib  = [20]
    sr         = "ssd"
    networks   = ["lab-net"]
    tags       = ["golden"]
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
  template "tmpl-debian12" {
    cpus       = 2
    memory_mib = 2048
    disks_gib  = [20]
    sr         = "ssd"
    networks   = ["lab-net"]
    guest {
      boot_seconds = 6
      dhcp_seconds = 0
      os_version   = "Debian GNU/Linux 12 (bookworm)"
    }
  }
  template "tmpl-ubuntu22" {
    cpus       = 2
    memory_mib = 4096
    disks_gib  = [30]
    sr         = "ssd"
    networks   = ["lab-net"]
    uefi       = true
    guest {
      boot_seconds = 8
      dhcp_seconds = 0
      os_version   = "Ubuntu 22.04.5 LTS"
    }
  }
  template "tmpl-rocky9" {
    cpus       = 2
    memory_mib = 2048
    disks_gib  = [20]
    sr         = "ssd"
    networks   = ["lab-net"]
    guest {
      boot_seconds = 9
      dhcp_seconds = 3
      addresses    = ["169.254", "dhcp"]
      os_version   = "Rocky Linux 9.4 (Blue Onyx)"
    }
  }
  template "tmpl-win2016" {
    cpus       = 4
    memory_mib = 8192
    disks_gib  = [60]
    sr         = "ssd"
    networks   = ["lab-net"]
    guest {
      boot_seconds         = 35
      dhcp_seconds         = 3
      agent_event          = false
      agent_period_seconds = 60
      os_version           = "Microsoft Windows Server 2016 Standard"
      shutdown_seconds     = 20
    }
  }

  vm "build-server" {
    template  = "tmpl-debian12"
    running   = true
    snapshots = 1
  }
  vm "wiki" {
    count    = 2
    template = "tmpl-ubuntu22"
    running  = true
    tags     = ["infra"]
  }
  vm "old-jenkins" {
    template = "tmpl-centos7"
    running  = false
  }
}

pool "lab2" {
  username = "root"
  password = "dynvm-sim"

  host "xen21" {
    cpus       = 16
    memory_gib = 64
  }
  host "xen22" {
    cpus       = 16
    memory_gib = 64
  }
  host "xen23" {
    cpus       = 16
    memory_gib = 64
  }

  sr "san" {
    type     = "lvmoiscsi"
    size_gib = 6000
    shared   = true
    default  = true
  }
  sr "isos" {
    type     = "iso"
    size_gib = 100
    shared   = true
    isos     = ["debian-12.iso"]
  }

  network "lab-net" {
    bridge = "xenbr0"
    device = "eth0"
    cidr   = "10.3.0.0/16"
  }

  template "tmpl-centos7" {
    cpus       = 2
    memory_mib = 2048
    disks_gib  = [20]
    sr         = "san"
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
  template "tmpl-debian12" {
    cpus       = 2
    memory_mib = 2048
    disks_gib  = [20]
    sr         = "san"
    networks   = ["lab-net"]
    guest {
      boot_seconds = 6
      dhcp_seconds = 0
      os_version   = "Debian GNU/Linux 12 (bookworm)"
    }
  }
  template "tmpl-ubuntu22" {
    cpus       = 2
    memory_mib = 4096
    disks_gib  = [30]
    sr         = "san"
    networks   = ["lab-net"]
    uefi       = true
    guest {
      boot_seconds = 8
      dhcp_seconds = 0
      os_version   = "Ubuntu 22.04.5 LTS"
    }
  }
  template "tmpl-win2016" {
    cpus       = 4
    memory_mib = 8192
    disks_gib  = [60]
    sr         = "san"
    networks   = ["lab-net"]
    guest {
      boot_seconds         = 35
      dhcp_seconds         = 3
      agent_event          = false
      agent_period_seconds = 60
      os_version           = "Microsoft Windows Server 2016 Standard"
      shutdown_seconds     = 20
    }
  }

  vm "license-server" {
    template = "tmpl-debian12"
    running  = true
  }
}
