resource "dynvm_server" "web" {
  count = 2
  name  = "web-${count.index}"
  os    = "debian12"
  tags  = ["web"]
}

# Written to a file that ends in .json it is what `ansible-playbook -i` reads. A whole server is sensitive, for its user data; nothing of that is in here.
output "inventory" {
  value = nonsensitive(provider::dynvm::inventory(dynvm_server.web))
}
