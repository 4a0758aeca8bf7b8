module "rate_limit_store" {
  source = "../"

  project_id  = "example-project"
  region      = "europe-west1"
  denied_tags = ["image-processor"]

  network = {
    network_id = "projects/example-project/global/networks/image-manager"
    subnet_id  = "projects/example-project/regions/europe-west1/subnetworks/image-manager-run"
    cidr_range = "10.10.0.0/24"
  }
}
