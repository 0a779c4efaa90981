pool "lab1" {
  host "xen11" {
    cpus       = 64
    memory_gib = 512
  }
  host "xen12" {
    cpus       = 64
    memory_gib = 512
  }
  sr "ssd" {
    type     = "nfs"
    size_gib = 8000
    shared   = true
    default  = true
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
  template "tmpl" {
    cpus       = 1
    memory_mib = 512
    disks_gib  = [20, 10]
    networks   = ["lab-net"]
    guest {
      boot_seconds = 6
    }
  }
  vm "foreign" {
    count    = 3
    template = "tmpl"
    running  = true
  }
}
