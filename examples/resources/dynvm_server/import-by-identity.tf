import {
  to = dynvm_server.web
  identity = {
    pool_uuid = "6f0c7d52-9a1e-4a7f-8d5b-0f5c2f6f3a10"
    id        = "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10"
  }
}
