# This file is maintained automatically by "terraform init".
# Manual edits may be lost in future updates.

provider "registry.terraform.io/hashicorp/google" {
  version     = "7.45.0"
  constraints = ">= 7.45.0, < 8.0.0"
  hashes = [
    "h1:J8K1PPzkN3vAl5YmQ62n68ZHY+SJpoB2ilYLZPMwX94=",
  ]
}
