variable "project_id" {
  description = "Project of the pool and the accounts."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "repository" {
  description = "Repository whose workflows are admitted, and its owner, by their GitHub IDs: names can be taken over, IDs cannot."
  type = object({
    repository_id       = string
    repository_owner_id = string
  })
  nullable = false

  validation {
    condition     = can(regex("^[0-9]+$", var.repository.repository_id)) && can(regex("^[0-9]+$", var.repository.repository_owner_id))
    error_message = "repository.repository_id and repository.repository_owner_id must be numeric GitHub IDs, not names."
  }
}

variable "environments" {
  description = "GitHub environments, with their approval rules, in which jobs may apply and deploy."
  type = object({
    apply  = string
    deploy = string
  })
  nullable = false

  validation {
    condition     = alltrue([for environment in values(var.environments) : can(regex("^[a-z][a-z0-9-]*$", environment))]) && var.environments.apply != var.environments.deploy
    error_message = "environments must name two environments in lower-case letters, digits and hyphens."
  }
}

variable "deploy_ref" {
  description = "Git reference from which jobs may deploy: refs/heads/main, or refs/tags/v for all tags that start with v."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["refs/heads/main", "refs/tags/v"], var.deploy_ref)
    error_message = "deploy_ref must be refs/heads/main or refs/tags/v."
  }
}
