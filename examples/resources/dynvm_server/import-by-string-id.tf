import {
  to = dynvm_server.web
  id = "lab1/0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10"
}
